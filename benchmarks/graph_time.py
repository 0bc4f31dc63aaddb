"""The graphs of this tree and another commit, in turn.

    python benchmarks/graph_time.py [--against 4c9b12d] [--rounds 5] [--json FILE] [-- OPTION ...]

Each tree compiles ``untrained:htdemucs`` without the parity check, with any further options. Both files run
a segment of noise in turn, in processes of their own, as ``separate`` runs them: the least seconds of each
and their ratio, peak memory, and SNR of the worst stem against float64.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from benchmark_machine import machine
from entrants import Entrant, in_turn, write_noise
from other_commit import MODEL, ROOT, checked_out, compile_by, hand_over, parsed

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.runtime.cores import usable_cores

WARM_UP = 1


def main() -> None:
    """Print a line for each graph, and the ratio of their times."""
    arguments = parsed(__doc__, "rounds", 5)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        trees = {"here": ROOT, "there": stack.enter_context(checked_out(arguments.against))}
        for name, tree in trees.items():
            compile_by(tree, folder / f"{name}.onnx", [MODEL, "--no-verify", *arguments.options])
        graphs = measured(folder, list(trees), arguments.rounds)
    results = machine() | {
        "against": arguments.against,
        "options": arguments.options,
        "graphs": graphs,
        "ratio": round(graphs["here"]["least_seconds"] / graphs["there"]["least_seconds"], 3),
    }
    hand_over(results, arguments.json)


def measured(folder: Path, names: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds, memory and SNR of the files of a folder, by name."""
    mix = folder / "mix.npy"
    write_noise(folder / f"{names[0]}.onnx", mix)
    opened = {
        name: Entrant("session", str(folder / f"{name}.onnx"), mix, folder / f"{name}.npy", usable_cores())
        for name in names
    }
    runs = in_turn(opened, rounds + WARM_UP)
    with torch.inference_mode():
        wanted = load_model(MODEL).module.double()(torch.from_numpy(np.load(mix)).double()).numpy()
    figures = {}
    for name, turns in runs.items():
        stems = np.load(folder / f"{name}.npy")
        figures[name] = {
            "least_seconds": round(min(turn.seconds for turn in turns[WARM_UP:]), 3),
            "peak_rss_mb": max(turn.peak_mb for turn in turns),
            "snr_db": round(min(map(snr_db, wanted[0], stems[0])), 1),
        }
        print(json.dumps({name: figures[name]}), flush=True)
    return figures


if __name__ == "__main__":
    main()
