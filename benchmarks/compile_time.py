"""Compile times of this tree and another commit, in turn.

    python benchmarks/compile_time.py [--against 4c9b12d] [--pairs 5] [--json FILE] [-- OPTION ...]

The command is ``onnx-demucs compile untrained:htdemucs``, verification included, with any further options,
from the start of the process to its end. Both trees run on the packages of this environment. Times are ratios
of one interleaved run: the ratio of each pair, and their median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

from benchmark_machine import machine
from other_commit import ROOT, checked_out, compile_by

MODEL = "untrained:htdemucs"


def main() -> None:
    """Print a line for each pair, and the median of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--against", default="4c9b12d", metavar="COMMIT")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("options", nargs="*", metavar="OPTION")
    arguments = parser.parse_args()
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
    print(json.dumps(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def compile_seconds(tree: Path, folder: Path, options: list[str]) -> float:
    """The seconds of one compile by a tree, whole process included."""
    began = perf_counter()
    compile_by(tree, folder / "x.onnx", [MODEL, *options])
    return perf_counter() - began


if __name__ == "__main__":
    main()
