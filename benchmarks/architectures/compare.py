"""Architectures of others, compiled, checked and timed.

    python benchmarks/architectures/install.py
    python benchmarks/architectures/compare.py [--step STEP ...] [--json FILE] [PACKAGE | PACKAGE/NAME ...]

Each is built with seeded random weights and compiled in a process of its own, with a limit of time and of
memory; SNR is that of its worst output against the module in float64 on noise and a synthetic song. Then the
graph runs in turn with PyTorch, on one thread: the least seconds of each. With ``--json`` what is measured
takes the place of earlier figures of the same names in that file.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entries import ENTRIES, PACKAGES
from install import FOLDER, environment

sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmark_machine import machine

if TYPE_CHECKING:
    from entries import Entry

ONE = Path(__file__).with_name("one.py")
GRAPHS = FOLDER / "graphs"
CPU_SECONDS = 240
SECONDS = 5 * CPU_SECONDS
"""A machine may be busy with other things."""

BYTES = 12 * 2**30
STEPS = ("compile", "time")
FORWARD = "forward"


def main() -> None:
    """Print and write the figures of each entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--step", action="append", dest="steps", choices=(*STEPS, FORWARD))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    for step in arguments.steps or STEPS:
        for entry in chosen(arguments.names):
            graph = GRAPHS / f"{entry.key.replace('/', '-').replace(' ', '_')}.onnx"
            if step == "time" and not graph.exists():
                continue
            figures = run(step, entry, graph)
            print(json.dumps({entry.key: figures}), flush=True)
            if arguments.json:
                write(arguments.json, entry, figures)


def chosen(names: list[str]) -> list[Entry]:
    """The entries of these names, or all.

    A name is that of a package or of one entry.
    """
    unknown = [name for name in names if name not in ENTRIES and name not in PACKAGES]
    if unknown:
        sys.exit(f"{unknown[0]} is not in the catalogue; it has {', '.join(ENTRIES)}")
    return [entry for entry in ENTRIES.values() if not names or {entry.key, entry.package} & set(names)]


def run(step: str, entry: Entry, graph: Path) -> dict[str, Any]:
    """The result of a step; a ``failure`` where its process gave none."""
    if step == "compile":
        graph.parent.mkdir(parents=True, exist_ok=True)
        graph.unlink(missing_ok=True)
    command = [str(environment(entry.package)), "-W", "ignore", str(ONE), step, entry.key, str(graph)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, preexec_fn=_limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"not done after {SECONDS} s"}
    last = (done.stdout.strip() or "nothing").splitlines()[-1]
    if done.returncode == -signal.SIGXCPU:
        return {"failure": f"not done after {CPU_SECONDS} s of one core"}
    if done.returncode:
        said = (done.stderr.strip() or last).splitlines()[-1]
        return {"failure": f"exit status {done.returncode}: {said}"}
    result: dict[str, Any] = json.loads(last)
    return result


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))


def write(path: Path, entry: Entry, figures: dict[str, Any]) -> None:
    """Put the figures of an entry into a file.

    Those of other entries stay. A compile replaces all that is there of the entry; times alone join it.
    """
    entries = json.loads(path.read_text(encoding="utf-8"))["entries"] if path.exists() else {}
    known = entries.get(entry.key, {}) if "seconds" in figures else {}
    facts = {"version": PACKAGES[entry.package].version, "kind": entry.kind, "note": entry.note}
    entries[entry.key] = facts | {"inputs": entry.shapes} | known | figures
    entries = {key: entries[key] for key in ENTRIES if key in entries}
    results = machine() | {"threads": 1, "entries": entries}
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
