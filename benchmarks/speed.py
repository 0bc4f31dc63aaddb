"""Seconds per segment and memory: PyTorch eager and ONNX Runtime in turn, in one run.

    python benchmarks/speed.py HTDEMUCS.onnx [--rounds 7] [--json FILE]

Entrants run one after the other in every round, so that a machine that slows down slows all of them;
figures are medians, and ratios are to PyTorch eager. Peak memory is that of a fresh process over five
segments. ``default options`` is a session as ONNX Runtime makes it, ``ours`` the one ``separate`` uses.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import onnxruntime as ort
import torch

from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.runtime.session import physical_cores, session_options
from onnx_demucs_compiler.verify import artifact_metadata

if TYPE_CHECKING:
    from collections.abc import Callable

FIVE_SEGMENTS = """
import sys, numpy as np
from benchmark_memory import peak_mb
def torch_eager(path, model):
    import torch
    from onnx_demucs_compiler.loading import load_model
    source = load_model(model)
    mix = source.example()[0]
    torch.set_num_threads(int(sys.argv[4]))
    with torch.inference_mode():
        for _ in range(5): source.module(mix)
def onnx(path, options):
    import onnxruntime as ort
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    mix = np.zeros(session.get_inputs()[0].shape, np.float32)
    for _ in range(5): session.run(None, {"mix": mix})
def ours(path, model):
    from onnx_demucs_compiler.runtime.session import session_options
    onnx(path, session_options())
def default(path, model):
    import onnxruntime as ort
    onnx(path, ort.SessionOptions())
globals()[sys.argv[1]](sys.argv[2], sys.argv[3])
print(peak_mb())
"""


def main() -> None:
    """Print a line for each entrant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    metadata = artifact_metadata(arguments.artifact)
    entrants = _entrants(arguments.artifact, metadata.model)
    seconds: dict[str, list[float]] = {name: [] for name in entrants}
    for _ in range(arguments.rounds + 2):
        for name, run in entrants.items():
            start = perf_counter()
            run()
            seconds[name].append(perf_counter() - start)
    medians = {name: statistics.median(times[2:]) for name, times in seconds.items()}
    results: dict[str, Any] = {
        "model": metadata.model,
        "machine": platform.processor() or platform.machine(),
        "threads": physical_cores(),
        "torch": torch.__version__,
        "onnxruntime": ort.__version__,
        "entrants": {
            name: {
                "seconds": round(medians[name], 3),
                "speed_vs_torch": round(medians["torch_eager"] / medians[name], 2),
                "first_run": round(seconds[name][0], 2),
                "peak_rss_mb": _peak(name, arguments.artifact, metadata.model),
            }
            for name in entrants
        },
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _entrants(artifact: Path, model: str) -> dict[str, Callable[[], object]]:
    source = load_model(model)
    mix = source.example()[0]
    torch.set_num_threads(physical_cores())
    feeds = {"mix": mix.numpy()}

    def eager() -> object:
        with torch.inference_mode():
            return source.module(mix)

    def session(options: ort.SessionOptions) -> Callable[[], object]:
        opened = ort.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
        return lambda: opened.run(None, feeds)

    return {
        "torch_eager": eager,
        "ours": session(session_options()),
        "default": session(ort.SessionOptions()),
    }


def _peak(entrant: str, artifact: Path, model: str) -> int:
    program = [sys.executable, "-c", FIVE_SEGMENTS]
    command = [*program, entrant, str(artifact.resolve()), model, str(physical_cores())]
    folder = Path(__file__).parent
    return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout)


if __name__ == "__main__":
    main()
