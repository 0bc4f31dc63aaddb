"""Graphs in onnxruntime-web's WebAssembly, in turn with ONNX Runtime.

    make web-install
    python benchmarks/browser/compare.py web=web.onnx [NAME=FILE ...] [--threads 1,2] [--rounds 4]

A headless Chromium opens every graph once, each in a worker of one page that is cross-origin isolated, and
runs a segment of noise of each in turn with the first graph in ONNX Runtime on as many threads: seconds, the
heap of WebAssembly after all runs, and the SNR of the worst stem against the first graph's model in float64.
Around a graph with the interface ``core`` the STFT and its inverse are fft.js's, and part of the time.
``make bench-web`` compiles ``untrained:htdemucs`` in several ways and compares them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

from benchmark_machine import machine  # noqa: E402
from chromium import Chromium, WasmGraph, chromium, least_snr, size  # noqa: E402
from entrants import Entrant, Turn, in_turn, write_noise  # noqa: E402

from onnx_demucs_compiler.checking.verification import artifact_metadata  # noqa: E402
from onnx_demucs_compiler.loading import load_model  # noqa: E402

if TYPE_CHECKING:
    from onnx_demucs_compiler.runtime.audio import Audio

WARM_UP = 1
NATIVE = "ONNX Runtime"


def main() -> None:
    """Run, and print the figures of each graph."""
    arguments = parsed()
    graphs: dict[str, Path] = dict(arguments.graphs)
    first = next(iter(graphs.values()))
    model = artifact_metadata(first).model
    runs: dict[str, dict[str, Any]] = {}
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_noise(first, folder / "mix.npy")
        wanted = stems_of(model, folder / "mix.npy")
        for threads in arguments.threads:
            with chromium(arguments.browser) as browser:
                versions = browser.versions
                runs[str(threads)] = measured(browser, folder, graphs, threads, arguments.rounds, wanted)
    results = machine() | versions | {
        "model": model,
        "segments": arguments.rounds + WARM_UP,
        "snr_against": "the model in float64",
        "bytes": {name: size(path) for name, path in graphs.items()},
        "by_threads": runs,
    }  # fmt: skip
    print(json.dumps(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("graphs", nargs="+", type=named, metavar="NAME=FILE")
    parser.add_argument("--threads", type=numbers, default="1,2", metavar="N,...")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--browser", default="chromium", metavar="PROGRAM")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def named(text: str) -> tuple[str, Path]:
    """A name and a file."""
    name, _, file = text.partition("=")
    if not (name and Path(file).is_file()):
        raise argparse.ArgumentTypeError(f"{text} is not NAME=FILE with a file that exists")
    return name, Path(file).resolve()


def numbers(text: str) -> list[int]:
    """Numbers of threads."""
    return [int(part) for part in text.split(",")]


def stems_of(model: str, mix: Path) -> Audio:
    """The stems of a model in float64."""
    with torch.inference_mode():
        stems: Audio = load_model(model).module.double()(torch.from_numpy(np.load(mix)).double()).numpy()
    return stems


def fft_around(path: Path) -> int:
    """Size of the FFT left to the host; 0 for none."""
    metadata = artifact_metadata(path)
    if metadata.interface not in ("waveform", "core"):
        sys.exit(f"error: {path.name} has the interface {metadata.interface}; give waveform or core")
    return metadata.n_fft


def measured(
    browser: Chromium,
    folder: Path,
    graphs: dict[str, Path],
    threads: int,
    rounds: int,
    wanted: Audio,
) -> dict[str, Any]:
    """Figures of each graph, and seconds of the first in ONNX Runtime."""
    mix = np.load(folder / "mix.npy")
    first = str(next(iter(graphs.values())))
    native = Entrant("session", first, folder / "mix.npy", folder / "stems.npy", threads)
    wasm = {
        name: WasmGraph(browser, path, {"mix": mix}, folder, threads=threads, core=fft_around(path))
        for name, path in graphs.items()
    }
    runs = in_turn({NATIVE: native, **wasm}, rounds + WARM_UP)
    seconds = median_seconds(runs.pop(NATIVE))
    found = {}
    for name, turns in runs.items():
        found[name] = {
            "seconds": median_seconds(turns),
            "heap_mb": turns[-1].peak_mb,
            "snr_db": round(least_snr([wanted], wasm[name].found([wanted])), 1),
        }
        print(json.dumps({name: found[name]}), file=sys.stderr, flush=True)
    return {"native_seconds": seconds, "graphs": found}


def median_seconds(turns: list[Turn]) -> float:
    """Of a run, the first ones left out."""
    return round(median(turn.seconds for turn in turns[WARM_UP:]), 2)


if __name__ == "__main__":
    main()
