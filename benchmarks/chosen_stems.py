"""What choosing stems saves: arithmetic, nodes, bytes and seconds per segment of graphs of all and of one.

python benchmarks/chosen_stems.py [--stem vocals] [--rounds 5] [--json benchmarks/results/chosen_stems.json]

Seconds are medians, the graphs in turn in one run.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime as ort

import onnx_demucs_compiler
from onnx_demucs_compiler.runtime.session import physical_cores, session_options

ALL = "all"
TIMED = "untrained:htdemucs"
BAG = "untrained:htdemucs_ft"


def main() -> None:
    """Compile htdemucs and the bag with all stems and with one; time the graphs of htdemucs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stem", default="vocals")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    graphs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {f"{TIMED} {stem}": Path(folder) / f"{stem}.onnx" for stem in (ALL, arguments.stem)}
        for stem in (ALL, arguments.stem):
            graphs[f"{TIMED} {stem}"] = _compiled(TIMED, stem, files[f"{TIMED} {stem}"])
        for name, seconds in _seconds(files, arguments.rounds).items():
            graphs[name]["seconds"] = seconds
        for stem in (ALL, arguments.stem):
            graphs[f"{BAG} {stem}"] = _compiled(BAG, stem, Path(folder) / "bag.onnx")
    results = {
        "machine": platform.processor() or platform.machine(),
        "threads": physical_cores(),
        "onnxruntime": ort.__version__,
        "graphs": graphs,
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _compiled(model: str, stem: str, path: Path) -> dict[str, Any]:
    compiled = onnx_demucs_compiler.compile(model, stems=None if stem == ALL else (stem,), verify=False)
    compiled.save(path)
    report = compiled.report
    figures = {
        "gflop": round(report.flop / 1e9, 2),
        "nodes": report.nodes,
        "mb": round(report.bytes / 1e6, 2),
    }
    print(model, stem, figures, file=sys.stderr, flush=True)
    return figures


def _seconds(files: dict[str, Path], rounds: int) -> dict[str, float]:
    sessions = {
        name: ort.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
        for name, path in files.items()
    }
    taken: dict[str, list[float]] = {name: [] for name in files}
    generator = np.random.default_rng(0)
    for _ in range(rounds + 2):
        for name, session in sessions.items():
            mix = generator.standard_normal(session.get_inputs()[0].shape, np.float32)
            start = perf_counter()
            session.run(None, {"mix": mix})
            taken[name].append(perf_counter() - start)
    medians = {name: round(statistics.median(times[2:]), 3) for name, times in taken.items()}
    print(medians, file=sys.stderr, flush=True)
    return medians


if __name__ == "__main__":
    main()
