"""Artifacts in OpenVINO and ONNX Runtime, in turn, as ``separate`` opens them.

    python -m pip install -c constraints.txt -e './runtime[openvino]' -e .
    python benchmarks/openvino_runtime.py NAME=MODEL.onnx [NAME=OTHER.onnx ...] [--rounds 5] [--json FILE]

All are of one model and of one shape. The first runs in ONNX Runtime too, which speed, memory and SNR of the
others are told against; every file runs in OpenVINO. ``seconds_to_open`` is without a compiled model in the
cache, ``seconds_to_open_again`` with it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmark_machine import machine
from entrants import Entrant, in_turn, write_noise

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.verification import artifact_metadata
from onnx_demucs_compiler.runtime.cores import usable_cores
from onnx_demucs_compiler.runtime.graph import Graph
from onnx_demucs_compiler.runtime.openvino import OPENVINO

if TYPE_CHECKING:
    from entrants import Turn

WARM_UP = 1
IN_ONNXRUNTIME = "{}, ONNX Runtime"
IN_OPENVINO = "{}, OpenVINO"


def main() -> None:
    """Print a line for each file and runtime."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL.onnx")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    files = {name: Path(path) for name, _, path in (text.partition("=") for text in arguments.models)}
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        rows = measured(files, Path(name), arguments.rounds)
    for entrant, row in rows.items():
        print(json.dumps({entrant: row}), flush=True)
    if arguments.json:
        first = artifact_metadata(next(iter(files.values())))
        found = machine() | {
            "openvino": version("openvino"),
            "weights": first.provenance or first.model,
            "rounds": arguments.rounds,
            "rows": rows,
        }
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measured(files: dict[str, Path], folder: Path, rounds: int) -> dict[str, dict[str, Any]]:
    """The rows of the table, by entrant."""
    first = next(iter(files))
    base = IN_ONNXRUNTIME.format(first)
    opening = {base: {"seconds_to_open": seconds_to_open(files[first], None)}}
    opening |= {IN_OPENVINO.format(name): both_openings(path) for name, path in files.items()}
    mix = folder / "mix.npy"
    write_noise(files[first], mix)
    wanted = [(base, "host", files[first])]
    wanted += [(IN_OPENVINO.format(name), "openvino", path) for name, path in files.items()]
    stems = {name: folder / f"{number}.npy" for number, (name, _, _) in enumerate(wanted)}
    opened = {name: Entrant(kind, str(path), mix, stems[name], usable_cores()) for name, kind, path in wanted}
    runs = in_turn(opened, rounds + WARM_UP)
    rows = {name: opening[name] | figures(turns, runs[base]) for name, turns in runs.items()}
    reference = np.load(stems[base])
    for name, _, _ in wanted[1:]:
        rows[name]["worst_stem_db"] = worst_stem_db(reference, np.load(stems[name]))
    return rows


def both_openings(path: Path) -> dict[str, float]:
    """Seconds to open a file in OpenVINO, twice."""
    return {
        "seconds_to_open": seconds_to_open(path, OPENVINO),
        "seconds_to_open_again": seconds_to_open(path, OPENVINO),
    }


def seconds_to_open(path: Path, device: Any) -> float:
    """Seconds until a file can run."""
    began = perf_counter()
    _ = Graph(path) if device is None else Graph(path, None, device)
    return round(perf_counter() - began, 2)


def figures(turns: list[Turn], base: list[Turn]) -> dict[str, float]:
    """Medians of an entrant's runs, and their ratio to the base's."""
    counted = list(zip(turns, base, strict=True))[WARM_UP:]
    return {
        "seconds": round(median(turn.seconds for turn, _ in counted), 3),
        "cpu_seconds": round(median(turn.cpu_seconds for turn, _ in counted), 3),
        "of_onnxruntime": round(median(turn.seconds / other.seconds for turn, other in counted), 3),
        "peak_mb": max(turn.peak_mb for turn in turns),
    }


def worst_stem_db(wanted: np.ndarray, found: np.ndarray) -> float:
    """SNR of the worst stem in dB, of stems ``[B, S, C, samples]``."""
    return round(min(snr_db(*pair) for pair in zip(wanted[0], found[0], strict=True)), 1)


if __name__ == "__main__":
    main()
