"""What each rule made for speed gains: graphs without it, one rule at a time, in turn in one run.

    python benchmarks/ablation.py [--target portable] [--rounds 5] [--json FILE]

The model is untrained:htdemucs. Compiles do not verify: the SNR is measured with the speed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmark_machine import machine
from speed import EAGER, measured

import onnx_demucs_compiler
from onnx_demucs_compiler import default

MODEL = "untrained:htdemucs"
ALL_RULES = "all rules"


def main() -> None:
    """Print a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--target", default="portable")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    variants = {ALL_RULES: default, "none of them": default - "speed"}
    for rule in default.only("speed"):
        if arguments.target in rule.targets:
            variants[f"without {rule.name}"] = default - rule.name
    with tempfile.TemporaryDirectory() as folder:
        runners = {EAGER: ("eager", MODEL)}
        for number, (name, rules) in enumerate(variants.items()):
            compiled = onnx_demucs_compiler.compile(MODEL, rules, target=arguments.target, verify=False)
            runners[name] = ("session", str(compiled.save(Path(folder) / f"{number}.onnx")))
        found = measured(runners, MODEL, arguments.rounds)
    results = machine() | {"model": MODEL, "target": arguments.target} | found
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
