"""Seconds per segment and memory: PyTorch eager and graphs in ONNX Runtime in turn, in one run.

    python benchmarks/speed.py NAME=MODEL.onnx … [--rounds 7] [--openvino] [--json FILE]

    for example
    onnx-demucs compile untrained:htdemucs -o portable.onnx
    onnx-demucs compile untrained:htdemucs --target ort -o ort.onnx
    onnx-demucs compile untrained:htdemucs --without speed -o plain.onnx
    python benchmarks/speed.py portable=portable.onnx ort=ort.onnx plain=plain.onnx

The graphs must be of one model, which the first names in its metadata. Entrants run one after the other in
every round, each in a process of its own, so that a machine that slows down slows all of them; figures are
medians, ratios to PyTorch eager. Peak memory is read after five segments. Every graph runs in the session
that ``separate`` uses and, as ``NAME, default session``, in one as ONNX Runtime makes it, which is what a
program gets that sets no options; with ``--openvino`` (``pip install openvino``) OpenVINO reads the same
file in f32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
import torch
from benchmark_machine import machine
from entrants import Entrant

from onnx_demucs_compiler.fidelity import snr_db
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.verify import artifact_metadata

EAGER = "PyTorch eager"
WARM_UP = 2

# Idle threads of ONNX Runtime spin for a while; without a pause they take time from who comes next.
PAUSE = 0.5

SEGMENTS = 5
"""After how many the peak memory is read."""


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
    source = load_model(model)
    mix = np.random.default_rng(0).standard_normal(source.example()[0].shape, np.float32)
    with torch.inference_mode():
        reference = source.module.double()(torch.from_numpy(mix).double()).numpy()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "mix.npy", mix)
        opened = {
            name: Entrant(*runner, Path(folder) / "mix.npy", Path(folder) / f"{number}.npy")
            for number, (name, runner) in enumerate(runners.items())
        }
        runs = _in_turn(opened, max(rounds + WARM_UP, SEGMENTS))
        snr = {name: _worst(reference, np.load(entrant.stems)) for name, entrant in opened.items()}
    medians = {name: statistics.median(took for took, _ in found[WARM_UP:]) for name, found in runs.items()}
    rows = {}
    for name, found in runs.items():
        rows[name] = {
            "seconds": round(medians[name], 3),
            "least_seconds": round(min(took for took, _ in found), 3),
            "speed_vs_torch": round(medians[EAGER] / medians[name], 2),
            "first_run": round(found[0][0], 2),
            "second_run": round(found[1][0], 2),
            "peak_rss_mb": found[SEGMENTS - 1][1],
            "snr_db": round(snr[name], 1),
        }
        print(json.dumps({name: rows[name]}), flush=True)
    return rows


def _in_turn(opened: dict[str, Entrant], rounds: int) -> dict[str, list[tuple[float, int]]]:
    runs: dict[str, list[tuple[float, int]]] = {name: [] for name in opened}
    for _ in range(rounds):
        for name, entrant in opened.items():
            runs[name].append(entrant.run())
            sleep(PAUSE)
    for entrant in opened.values():
        entrant.close()
    return runs


def _worst(reference: np.ndarray, stems: np.ndarray) -> float:
    return min(snr_db(reference[:, stem], stems[:, stem]) for stem in range(stems.shape[1]))


if __name__ == "__main__":
    main()
