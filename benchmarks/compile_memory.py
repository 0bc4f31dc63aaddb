"""Memory and processor seconds of one compile, step by step.

    python benchmarks/compile_memory.py [MODEL] [--target portable] [--length N] [--json FILE]

MODEL is what ``onnx-demucs compile`` takes, compiled in this process and saved. For each step: the most
memory that was resident, sampled, and the seconds of all processors. ``peak_mb`` is the most that the process
ever held, as Linux counts it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

from benchmark_machine import machine
from benchmark_memory import peak_mb
from other_commit import MODEL, hand_over

import onnx_demucs_compiler


def main() -> None:
    """Print the figures of one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default=MODEL)
    parser.add_argument("--target", default="portable")
    parser.add_argument("--length", type=int)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    length = {"length": arguments.length} if arguments.length else {}
    results = measured(arguments.model, {"target": arguments.target, **length})
    hand_over(machine() | results, arguments.json)


def measured(model: str, options: dict[str, Any]) -> dict[str, Any]:
    """Figures of a compile by this process."""
    began: list[tuple[str, float]] = []
    compiled = onnx_demucs_compiler.compile(
        model, on_step=lambda step: began.append((step, process_time())), **options
    )
    began.append(("save", process_time()))
    with tempfile.TemporaryDirectory() as folder:
        compiled.save(Path(folder, "model.onnx"))
    began.append(("end", process_time()))
    steps = {}
    for (step, start), (_, end) in pairwise(began):
        held = [sample.bytes for sample in compiled.report.memory if sample.step == step]
        steps[step] = {"cpu_seconds": round(end - start, 1)}
        steps[step] |= {"peak_mb": max(held) // 2**20} if held else {}
        print(json.dumps({step: steps[step]}), flush=True)
    return {
        "model": model,
        "options": options,
        "steps": steps,
        "cpu_seconds": round(process_time(), 1),
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    main()
