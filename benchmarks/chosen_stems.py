"""What choosing stems saves: arithmetic, nodes, bytes and seconds per segment of graphs of all and of one.

python benchmarks/chosen_stems.py [--stem vocals] [--rounds 5] [--json benchmarks/results/chosen_stems.json]

Seconds are medians, the graphs in turn in one run.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
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
    """Compile htdemucs with all stems and with one, and one stem of the bag; time the first two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--stem", default="vocals")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    graphs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for model, stem in ((TIMED, ALL), (TIMED, arguments.stem), (BAG, arguments.stem)):
            graphs[f"{model} {stem}"] = _compiled(model, stem, Path(folder) / f"{model[10:]}-{stem}.onnx")
        timed = {name: Path(figures.pop("file")) for name, figures in graphs.items()}
        timed.pop(f"{BAG} {arguments.stem}")
        for name, seconds in _seconds(timed, arguments.rounds).items():
            graphs[name]["seconds"] = seconds
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
    return {
        "gflop": round(report.flop / 1e9, 2),
        "nodes": report.nodes,
        "mb": round(report.bytes / 1e6, 2),
        "file": str(path),
    }


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
    return {name: round(statistics.median(times[2:]), 3) for name, times in taken.items()}


if __name__ == "__main__":
    main()
