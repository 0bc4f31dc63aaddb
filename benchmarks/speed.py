"""Seconds per segment and memory of PyTorch and graphs, in turn.

    python benchmarks/speed.py NAME=MODEL.onnx … [--separate-only NAME=MODEL.onnx …] [--rounds 7]
        [--openvino] [--torch-compile] [--json FILE]

    for example
    onnx-demucs compile untrained:htdemucs -o portable.onnx
    onnx-demucs compile untrained:htdemucs --target ort -o ort.onnx
    onnx-demucs compile untrained:htdemucs --without speed --without memory -o plain.onnx
    python benchmarks/speed.py portable=portable.onnx ort=ort.onnx plain=plain.onnx

The graphs must be of one model, which the first names in its metadata. Entrants run one after another in
every round, in an order that the round draws, each in a process of its own, so that a machine that slows
down slows all of them; printed are medians, ratios to PyTorch eager. Peak memory is read after five
segments. Every graph runs in the session that ``separate`` uses and, as ``NAME, default session``, in one
as ONNX Runtime makes it, which a program gets that sets no options. ``--separate-only`` names graphs that
run in the former alone, and that may leave the STFT to the host (NumPy). With ``--openvino``, and the extra
``openvino``, the others run as ``separate --runtime openvino`` runs them too. A square matrix product runs
in turn with them, in PyTorch's BLAS and in ONNX Runtime, which need not be equally fast on one processor: at
the higher rate, the arithmetic of the first graph is the least that a segment can take.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import torch
from benchmark_machine import machine
from entrants import Entrant, in_turn

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.verification import artifact_metadata
from onnx_demucs_compiler.graph.flops import flops
from onnx_demucs_compiler.graph.measure import node_count
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.runtime.cores import usable_cores

if TYPE_CHECKING:
    from entrants import Turn

EAGER = "PyTorch eager"
PRODUCT_SIZE = 4096
PRODUCTS = {"PyTorch": "torch product", "ONNX Runtime": "ort product"}
"""Kinds of :mod:`entrants` by whose matrix product they run."""

WARM_UP = 2

SEGMENTS = 5
"""After how many the peak memory is read."""

Runners = dict[str, tuple[str, str]]
"""Entrants by name: a kind of :mod:`entrants`, and what it opens."""


def main() -> None:
    """Print a line for each entrant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("graphs", nargs="+", metavar="NAME=MODEL.onnx")
    parser.add_argument("--separate-only", nargs="+", default=[], metavar="NAME=MODEL.onnx")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--openvino", action="store_true")
    parser.add_argument("--torch-compile", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    graphs, apart = _named(arguments.graphs), _named(arguments.separate_only)
    first = next(iter(graphs.values()))
    model = artifact_metadata(Path(first)).model
    runners: Runners = {EAGER: ("eager", model)}
    if arguments.torch_compile:
        runners["torch.compile"] = ("inductor", model)
    for name, path in graphs.items():
        runners[name] = ("session", path)
        runners[f"{name}, default session"] = ("default", path)
    runners |= {name: ("host", path) for name, path in apart.items()}
    if arguments.openvino:
        runners |= {f"{name}, OpenVINO": ("openvino", path) for name, path in graphs.items()}
    results = machine() | {"model": model} | measured(runners, model, arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def measured(runners: Runners, model: str, rounds: int) -> dict[str, Any]:
    """Run all entrants in turn, and print and return their figures.

    They come with the least time.
    """
    source = load_model(model)
    mix = np.random.default_rng(0).standard_normal(source.example()[0].shape, np.float32)
    with torch.inference_mode():
        reference = source.module.double()(torch.from_numpy(mix).double()).numpy()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "mix.npy", mix)
        products = {kind: (kind, str(PRODUCT_SIZE)) for kind in PRODUCTS.values()}
        opened = {
            name: Entrant(*runner, Path(folder) / "mix.npy", Path(folder) / f"{number}.npy", usable_cores())
            for number, (name, runner) in enumerate({**runners, **products}.items())
        }
        runs = in_turn(opened, max(rounds + WARM_UP, SEGMENTS))
        snr = {name: _worst(reference, np.load(opened[name].stems)) for name in runners}
    rates = {
        name: round(2 * PRODUCT_SIZE**3 / median(runs.pop(kind)) / 1e9, 1) for name, kind in PRODUCTS.items()
    }
    entrants = {}
    for name, found in runs.items():
        entrants[name] = {
            "seconds": round(median(found), 3),
            "least_seconds": round(min(turn.seconds for turn in found), 3),
            "cpu_seconds": round(statistics.median(turn.cpu_seconds for turn in found[WARM_UP:]), 2),
            "speed_vs_torch": round(median(runs[EAGER]) / median(found), 2),
            "first_run": round(found[0].seconds, 2),
            "second_run": round(found[1].seconds, 2),
            "peak_rss_mb": found[SEGMENTS - 1].peak_mb,
            "snr_db": round(snr[name], 1),
        } | _of_the_file(runners[name][1])
        print(json.dumps({name: entrants[name]}), flush=True)
    arithmetic = next(row["gflop"] for row in entrants.values() if "gflop" in row)
    floor = {"sgemm_gflops": rates, "floor_seconds": round(arithmetic / max(rates.values()), 3)}
    print(json.dumps(floor), flush=True)
    return floor | {"entrants": entrants}


def median(turns: list[Turn]) -> float:
    """The median of the seconds after the warm-up."""
    return statistics.median(turn.seconds for turn in turns[WARM_UP:])


def _named(arguments: list[str]) -> dict[str, str]:
    pairs = (argument.partition("=") for argument in arguments)
    return {name: str(Path(path).resolve()) for name, _, path in pairs}


def _of_the_file(path: str) -> dict[str, Any]:
    """Size, nodes and arithmetic of a graph; nothing for PyTorch."""
    if not Path(path).is_file():
        return {}
    graph = ir.load(path)
    return {
        "mb": round(Path(path).stat().st_size / 1e6, 1),
        "nodes": node_count(graph),
        "gflop": round(flops(graph) / 1e9, 1),
    }


def _worst(reference: np.ndarray, stems: np.ndarray) -> float:
    return min(snr_db(reference[:, stem], stems[:, stem]) for stem in range(stems.shape[1]))


if __name__ == "__main__":
    main()
