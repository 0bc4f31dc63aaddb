"""The time of nodes in ONNX Runtime by their rule.

    python benchmarks/time_by_rule.py MODEL.onnx [--rounds 5] [--json FILE]

One thread and the session of ``separate``, under ONNX Runtime's profiler; of each node the least of all
rounds. Nodes that ONNX Runtime made itself, and those of no rule, are ``model``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime as ort
from benchmark_machine import machine

from onnx_demucs_compiler.rules.ruleset import bundled
from onnx_demucs_compiler.runtime.session import session_options

MODEL = "model"
KERNEL = "_kernel_time"


def main() -> None:
    """Print a line for each rule, the slowest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    least = least_ms(arguments.model, arguments.rounds)
    rules = {rule.name for rule in bundled()}
    by_rule: Counter[str] = Counter()
    for node, milliseconds in least.items():
        name, _, _ = node.partition("/")
        by_rule[name if name in rules else MODEL] += milliseconds
    total = sum(by_rule.values())
    rows = {name: {"ms": round(spent, 2), "share": round(spent / total, 4)}
            for name, spent in by_rule.most_common()}  # fmt: skip
    for name, row in rows.items():
        print(f"{row['ms']:9.2f} ms {row['share']:7.2%}  {name}")
    if arguments.json:
        results = machine() | {"model": arguments.model.stem, "ms": round(total, 1), "rules": rows}
        arguments.json.write_text(json.dumps(results | {"threads": 1}, indent=2) + "\n", encoding="utf-8")


def least_ms(path: Path, rounds: int) -> dict[str, float]:
    """The least milliseconds of each node, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads=1)
        options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        random = np.random.default_rng(0)
        feeds = {port.name: 0.1 * random.standard_normal(port.shape, np.float32)
                 for port in session.get_inputs()}  # fmt: skip
        for _ in range(rounds):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    least: dict[str, float] = {}
    for event in events:
        if event["name"].endswith(KERNEL):
            name = event["name"].removesuffix(KERNEL)
            least[name] = min(event["dur"] / 1000, least.get(name, float("inf")))
    return least


if __name__ == "__main__":
    main()
