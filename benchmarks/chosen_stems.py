"""The saving by choosing stems: arithmetic, nodes, bytes and seconds per segment.

python benchmarks/chosen_stems.py [--stem vocals] [--rounds 5] [--json benchmarks/results/chosen_stems.json]

Seconds are medians, the graphs in turn in one run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmark_machine import machine
from entrants import Entrant, in_turn, write_noise
from speed import WARM_UP, median

import onnx_demucs_compiler
from onnx_demucs_compiler.runtime.cores import usable_cores

ALL = "all"
TIMED = "untrained:htdemucs"
BAG = "untrained:htdemucs_ft"


def main() -> None:
    """Compile htdemucs and the bag, with all stems and one; time htdemucs."""
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
    results = machine() | {"graphs": graphs}
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
    with tempfile.TemporaryDirectory() as folder:
        mix, stems = Path(folder) / "mix.npy", Path(folder) / "stems.npy"
        write_noise(next(iter(files.values())), mix)
        opened = {
            name: Entrant("session", str(path), mix, stems, usable_cores()) for name, path in files.items()
        }
        runs = in_turn(opened, rounds + WARM_UP)
    return {name: round(median(turns), 3) for name, turns in runs.items()}


if __name__ == "__main__":
    main()
