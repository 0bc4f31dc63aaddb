"""Compile times of this tree and another commit, in turn.

    python benchmarks/compile_time.py [--against 4c9b12d] [--pairs 5] [--json FILE] [-- OPTION ...]

The command is ``onnx-demucs compile untrained:htdemucs``, verification included, with any further options,
from the start of the process to its end. Both trees run on the packages of this environment. Times are ratios
of one interleaved run: the ratio of each pair, and their median.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

from benchmark_machine import machine
from other_commit import MODEL, ROOT, checked_out, compile_by, hand_over, parsed


def main() -> None:
    """Print a line for each pair, and the median of the ratios."""
    arguments = parsed(__doc__, "pairs", 5)
    pairs = []
    with tempfile.TemporaryDirectory() as temporary, checked_out(arguments.against) as other:
        for number in range(arguments.pairs):
            trees = [ROOT, other] if number % 2 == 0 else [other, ROOT]
            seconds = {tree: compile_seconds(tree, Path(temporary), arguments.options) for tree in trees}
            pairs.append({"here": round(seconds[ROOT], 2), "there": round(seconds[other], 2)})
            print(json.dumps(pairs[-1]), flush=True)
    ratio = statistics.median(pair["here"] / pair["there"] for pair in pairs)
    results = machine() | {
        "against": arguments.against,
        "options": arguments.options,
        "pairs": pairs,
        "median_ratio": round(ratio, 3),
    }
    hand_over(results, arguments.json)


def compile_seconds(tree: Path, folder: Path, options: list[str]) -> float:
    """The seconds of one compile by a tree, whole process included."""
    began = perf_counter()
    compile_by(tree, folder / "x.onnx", [MODEL, *options])
    return perf_counter() - began


if __name__ == "__main__":
    main()
