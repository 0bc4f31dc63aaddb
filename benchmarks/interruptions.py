"""A compile interrupted at random moments: what it leaves, what it says.

python benchmarks/interruptions.py [--moments 50] [--seed 0] [--json benchmarks/results/interruptions.json]

SIGINT, SIGTERM and SIGKILL in turn, at moments drawn evenly from the time that an undisturbed compile of a
small model takes, from the start of the process. Every outcome that is not as promised is listed with its
moment. A moment before the interpreter has reached the first line of the program is Python's own: what it
does then is counted apart, as ``before_the_program``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmark_machine import machine
from small_checkpoint import write_small_checkpoint

ROOT = Path(__file__).resolve().parent.parent
SIGNALS = {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}
LINES = {"SIGINT": "interrupted", "SIGTERM": "terminated"}
TIME_LIMIT = 120.0
AT_THE_END = 5.0
"""Seconds in which a process that had written its file already may end as if no signal had come."""
# Tells when the program's own first line is reached, and runs it as python -m does.
PROGRAM = """
import sys
open(sys.argv.pop(1), "w").close()
from onnx_demucs_compiler.__main__ import main
main()
"""


def main() -> None:
    """Interrupt compiles and count what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    # What is started in the background of a shell ignores SIGINT, and so would what it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = write_small_checkpoint(folder / "small.th")
        whole = folder / "whole.onnx"
        seconds = min(undisturbed(checkpoint, whole) for _ in range(2))
        moments = random.Random(arguments.seed)
        drawn = [moments.uniform(0, seconds) for _ in range(arguments.moments)]
        outcomes = [
            {"signal": kind, "at": round(at, 3)}
            | interrupted(checkpoint, folder, whole.read_bytes(), kind, at)
            for kind, at in zip(itertools.cycle(SIGNALS), drawn, strict=False)
        ]
    results = (
        machine() | summary(outcomes) | {"moments": arguments.moments, "compile_seconds": round(seconds, 2)}
    )
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def undisturbed(checkpoint: Path, path: Path) -> float:
    """Seconds of a whole compile."""
    began = time.monotonic()
    with start(checkpoint, path, path.with_suffix(".begun")) as process:
        _, errors = process.communicate()
    assert (process.returncode, errors) == (0, ""), errors
    return time.monotonic() - began


def start(checkpoint: Path, path: Path, begun: Path) -> subprocess.Popen[str]:
    """A compile in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, begun, "compile", checkpoint, "-o", path, "--force", "--quiet"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "rules")))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupted(checkpoint: Path, folder: Path, whole: bytes, kind: str, at: float) -> dict[str, Any]:
    """The files and output left by a signal at a moment."""
    out, begun = folder / "out", folder / "begun"
    begun.unlink(missing_ok=True)
    out.mkdir(exist_ok=True)
    path = out / "x.onnx"
    with start(checkpoint, path, begun) as process:
        time.sleep(at)
        early = not begun.exists()
        process.send_signal(getattr(signal, kind))
        sent = time.monotonic()
        try:
            printed, errors = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            printed, errors = process.communicate()
            errors += "HANG"
    left = {file.name: file.read_bytes() for file in out.iterdir()}
    for file in out.iterdir():
        file.unlink()
    found = {
        "exit_code": process.returncode,
        "output": "none" if "x.onnx" not in left else "complete" if left["x.onnx"] == whole else "partial",
        "others_left": sorted(left.keys() - {"x.onnx"}),
        "seconds_to_end": round(time.monotonic() - sent, 2),
        "stderr": errors[-2000:],
        "before_the_program": early,
    }
    print(kind, f"{at:.2f} s", found, file=sys.stderr, flush=True)
    return found | {"as_promised": not printed and as_promised(kind, found)}


def as_promised(kind: str, found: dict[str, Any]) -> bool:
    """True for nothing or the whole file, with at most one line.

    There is no other file, and there is a line unless the work was done already.
    """
    if found["output"] == "partial" or found["others_left"] or "HANG" in found["stderr"]:
        return False
    if found["output"] == "complete" and found["exit_code"] == 0:
        return not found["stderr"] and found["seconds_to_end"] < AT_THE_END
    line = f"error: {LINES[kind]}; no partial file was left\n" if kind in LINES else ""
    return (found["exit_code"], found["stderr"]) == (SIGNALS[kind], line)


def summary(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts by signal, and every outcome that is not as promised."""
    counts: dict[str, Any] = {}
    for kind in SIGNALS:
        rows = [row for row in outcomes if row["signal"] == kind]
        ours = [row for row in rows if not row["before_the_program"]]
        counts[kind] = {
            "moments": len(rows),
            "before_the_program": len(rows) - len(ours),
            "output": dict(Counter(row["output"] for row in rows)),
            "files_left": sum(len(row["others_left"]) for row in rows),
            "longest_to_end": max(row["seconds_to_end"] for row in rows),
            "not_as_promised": sum(not row["as_promised"] for row in ours),
        }
    return {"signals": counts, "not_as_promised": [row for row in outcomes if not row["as_promised"]]}


if __name__ == "__main__":
    main()
