"""Graphs in onnxruntime-web's WebAssembly, in turn with ONNX Runtime.

    npm install --prefix build/browser onnxruntime-web@1.30.0
    python benchmarks/browser/compare.py [--against 4c9b12d] [--rounds 3] [--json FILE] [-- OPTION ...]

``untrained:htdemucs`` is compiled for ``web``, as ``portable`` by the other commit, and without the rules for
speed and memory. Node runs a segment of noise of each in turn with the graph for ``web`` in ONNX Runtime,
all on one thread, since onnxruntime-web starts no others outside a browser: seconds, the heap of WebAssembly
after all runs, and the SNR of the worst stem against ONNX Runtime on the same file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

from benchmark_machine import machine  # noqa: E402
from entrants import Entrant, in_turn, write_noise  # noqa: E402
from other_commit import MODEL, checked_out, compile_by, hand_over, parsed  # noqa: E402

from onnx_demucs_compiler.checking.decibels import snr_db  # noqa: E402
from onnx_demucs_compiler.runtime.session import create_session  # noqa: E402

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

WARM_UP = 1
PACKAGE = ROOT / "build" / "browser" / "node_modules" / "onnxruntime-web" / "package.json"


def main() -> None:
    """Compile, run, and print the figures of each graph."""
    arguments = parsed(__doc__, "rounds", 3)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = dict(compiled(folder, stack.enter_context(checked_out(arguments.against)), arguments))
        graphs = measured(folder, files, arguments.rounds)
    results = machine() | {
        "model": MODEL,
        "options": arguments.options,
        "onnxruntime_web": json.loads(PACKAGE.read_text(encoding="utf-8"))["version"],
        "node": subprocess.run(["node", "--version"], capture_output=True, text=True).stdout.strip(),
        "graphs": graphs,
    }
    hand_over(results, arguments.json)


def compiled(folder: Path, other: Path, arguments: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """The files, by what to call them."""
    kinds = {
        "web": (ROOT, ["--target", "web"]),
        f"portable of {arguments.against}": (other, []),
        "without speed and memory": (ROOT, ["--without", "speed", "--without", "memory"]),
    }
    for number, (name, (tree, options)) in enumerate(kinds.items()):
        path = folder / f"{number}.onnx"
        compile_by(tree, path, [MODEL, "--no-verify", *options, *arguments.options])
        yield name, path


def measured(folder: Path, files: dict[str, Path], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds, heap, SNR and bytes of each file."""
    mix = folder / "mix.npy"
    write_noise(files["web"], mix)
    opened = {
        name: Entrant("wasm", str(path), mix, path.with_suffix(".npy"), 1) for name, path in files.items()
    }
    opened["native"] = Entrant("session", str(files["web"]), mix, folder / "native.npy", 1)
    runs = in_turn(opened, rounds + WARM_UP)
    native = median(turn.seconds for turn in runs.pop("native")[WARM_UP:])
    graphs = {}
    for name, turns in runs.items():
        [wanted] = create_session(files[name]).run(["stems"], {"mix": np.load(mix)})
        stems = np.load(files[name].with_suffix(".npy"))
        graphs[name] = {
            "bytes": sum(part.stat().st_size for part in folder.glob(f"{files[name].name}*")),
            "seconds": round(median(turn.seconds for turn in turns[WARM_UP:]), 2),
            "least_seconds": round(min(turn.seconds for turn in turns[WARM_UP:]), 2),
            "native_seconds": round(native, 2),
            "heap_mb": turns[-1].peak_mb,
            "snr_db": round(min(map(snr_db, wanted[0].astype(np.float64), stems[0])), 1),
        }
        print(json.dumps({name: graphs[name]}), flush=True)
    return graphs


if __name__ == "__main__":
    main()
