"""Seconds per segment and memory: PyTorch eager and graphs in ONNX Runtime in turn, in one run.

    python benchmarks/speed.py NAME=MODEL.onnx … [--rounds 7] [--openvino] [--json FILE]

    for example
    onnx-demucs compile untrained:htdemucs -o portable.onnx
    onnx-demucs compile untrained:htdemucs --target ort -o ort.onnx
    onnx-demucs compile untrained:htdemucs --without speed -o plain.onnx
    python benchmarks/speed.py portable=portable.onnx ort=ort.onnx plain=plain.onnx

The graphs must be of one HTDemucs, which the first names in its metadata. Entrants run one after the other in
every round, so that a machine that slows down slows all of them; figures are medians, and ratios are to
PyTorch eager. Peak memory is that of a fresh process over five segments. Every graph runs in the session that
``separate`` uses and, as ``NAME, default session``, in one as ONNX Runtime makes it, which is what a program
gets that sets no options; with ``--openvino`` (``pip install openvino``) OpenVINO reads the same file in f32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import entrants
import numpy as np
import torch
from benchmark_machine import machine

from onnx_demucs_compiler.fidelity import snr_db
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.verify import artifact_metadata

EAGER = "PyTorch eager"
WARM_UP = 2


def main() -> None:
    """Print a line for each entrant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("graphs", nargs="+", metavar="NAME=MODEL.onnx")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--openvino", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    graphs = {
        name: str(Path(path).resolve()) for name, _, path in (arg.partition("=") for arg in arguments.graphs)
    }
    model = artifact_metadata(Path(next(iter(graphs.values())))).model
    rows = measured(field(graphs, model, openvino=arguments.openvino), model, arguments.rounds)
    results = machine() | {"model": model, "entrants": rows}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def field(graphs: dict[str, str], model: str, openvino: bool = False) -> dict[str, tuple[str, str]]:
    """The entrants by name: a kind of :mod:`entrants`, and what it opens."""
    runners = {EAGER: ("eager", model)}
    for name, path in graphs.items():
        runners[name] = ("session", path)
        runners[f"{name}, default session"] = ("default", path)
        if openvino:
            runners[f"{name}, OpenVINO"] = ("openvino", path)
    return runners


def measured(runners: dict[str, tuple[str, str]], model: str, rounds: int) -> dict[str, dict[str, Any]]:
    """Run all entrants in turn; print and return a row of figures for each."""
    opened = {name: entrants.KINDS[kind](source) for name, (kind, source) in runners.items()}
    mix = np.random.default_rng(0).standard_normal(entrants.SHAPE, np.float32)
    with torch.inference_mode():
        reference = load_model(model).module.double()(torch.from_numpy(mix).double()).numpy()
    seconds: dict[str, list[float]] = {name: [] for name in opened}
    worst: dict[str, float] = {}
    for _ in range(rounds + WARM_UP):
        for name, run in opened.items():
            start = perf_counter()
            stems = run(mix)
            seconds[name].append(perf_counter() - start)
            worst[name] = min(snr_db(reference[:, k], stems[:, k]) for k in range(stems.shape[1]))
    medians = {name: statistics.median(times[WARM_UP:]) for name, times in seconds.items()}
    rows = {}
    for name, times in seconds.items():
        rows[name] = {
            "seconds": round(medians[name], 3),
            "least_seconds": round(min(times[WARM_UP:]), 3),
            "speed_vs_torch": round(medians[EAGER] / medians[name], 2),
            "first_run": round(times[0], 2),
            "second_run": round(times[1], 2),
            "peak_rss_mb": _peak(*runners[name]),
            "snr_db": round(worst[name], 1),
        }
        print(json.dumps({name: rows[name]}), flush=True)
    return rows


def _peak(kind: str, source: str) -> int:
    command = [sys.executable, str(Path(entrants.__file__)), kind, source]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    main()
