"""Time by operator in ExecuTorch's runtime, XNNPACK's by their own names.

    python benchmarks/formats/install.py executorch
    build/formats/executorch/bin/python benchmarks/formats/executorch_operators.py FILE.pte
        [--rounds 4] [--threads 2] [--json FILE]

ExecuTorch's event tracer times every operator of a segment of noise. Milliseconds are the least of all
rounds, and ``all`` is the whole of the quickest: what is beyond the sum of the operators lies between them.
Operators that XNNPACK has no kernel for run on one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmark_machine import machine

if TYPE_CHECKING:
    from collections.abc import Iterable

METHOD = "forward"
WHOLE = "Method::execute"
NATIVE = "native_call_"


def main() -> None:
    """Run, and print the milliseconds of each operator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("program", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    events = traced(arguments.program, arguments.rounds, arguments.threads)
    found = machine() | {"threads": arguments.threads, "milliseconds": by_operator(events)}
    print(json.dumps(found, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def traced(program: Path, rounds: int, threads: int) -> list[Any]:
    """The events of several runs."""
    from executorch.devtools import Inspector
    from executorch.extension.pybindings import _C

    _C._unsafe_reset_threadpool(threads)
    module = _C._load_for_executorch(str(program), enable_etdump=True)
    mix = torch.randn(tuple(module.method_meta(METHOD).input_tensor_meta(0).sizes()))
    for _ in range(rounds):
        module.forward([mix])
    with tempfile.TemporaryDirectory() as folder:
        dump = str(Path(folder) / "trace.etdp")
        module.write_etdump_result_to_file(dump)
        return [event for block in Inspector(etdump_path=dump).event_blocks for event in block.events]


def by_operator(events: Iterable[Any]) -> dict[str, float]:
    """Milliseconds of each operator, and of the whole, most first."""
    spent = Counter[str]()
    for event in events:
        name = event.name.partition(" #")[0]
        if event.is_delegated_op or name.startswith(NATIVE):
            spent[name.removeprefix(NATIVE)] += min(event.perf_data.raw)
        elif name == WHOLE:
            spent["all"] += min(event.perf_data.raw)
    return {name: round(milliseconds, 1) for name, milliseconds in spent.most_common()}


if __name__ == "__main__":
    main()
