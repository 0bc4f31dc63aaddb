"""The worth of each rule for speed, from graphs without it.

All run in turn, in one run.

    python benchmarks/ablation.py [--target portable] [--rounds 5] [--json FILE]

The model is untrained:htdemucs. Compiles do not verify: the SNR is measured with the speed. Afterwards each
graph runs alone in a session with default options, for the peak memory that it takes there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmark_machine import machine
from entrants import Entrant, write_noise
from speed import EAGER, SEGMENTS, measured

import onnx_demucs_compiler
from onnx_demucs_compiler import default
from onnx_demucs_compiler.runtime.cores import usable_cores
from onnx_demucs_compiler.targets import target_named

MODEL = "untrained:htdemucs"
ALL_RULES = "all rules"


def main() -> None:
    """Print a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--target", default="portable")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    variants = {ALL_RULES: default, "none of them": default - ["speed", "memory"]}
    for rule in default.only("speed", "memory"):
        if target_named(arguments.target) in rule.targets:
            variants[f"without {rule.name}"] = default - rule.name
    with tempfile.TemporaryDirectory() as folder:
        graphs = {}
        for number, (name, rules) in enumerate(variants.items()):
            compiled = onnx_demucs_compiler.compile(MODEL, rules, target=arguments.target, verify=False)
            graphs[name] = compiled.save(Path(folder) / f"{number}.onnx")
        runners = {EAGER: ("eager", MODEL)} | {name: ("session", str(path)) for name, path in graphs.items()}
        found = measured(runners, MODEL, arguments.rounds)
        mix = Path(folder) / "mix.npy"
        write_noise(graphs[ALL_RULES], mix)
        for name, path in graphs.items():
            peak = found["entrants"][name]["default_peak_rss_mb"] = default_peak_mb(path, mix)
            print(json.dumps({name: peak}), flush=True)
    results = machine() | {"model": MODEL, "target": arguments.target} | found
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def default_peak_mb(graph: Path, mix: Path) -> int:
    """Peak memory over segments in a session with default options, in MB."""
    entrant = Entrant("default", str(graph), mix, mix.with_name("stems.npy"), usable_cores())
    peak = max(entrant.run().peak_mb for _ in range(SEGMENTS))
    entrant.close()
    return peak


if __name__ == "__main__":
    main()
