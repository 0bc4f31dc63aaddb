"""Sessions that keep denormal numbers and sessions that flush them, in turn.

    python benchmarks/denormals.py MODEL.onnx [--song SONG] [--rounds 7] [--json FILE]

``MODEL.onnx`` is a waveform graph of ``--target portable``; it is given the middle of the song, or noise.
``denormals`` is the share in percent of numbers below 1.2e-38 among what its Softmax operators give; ``db``
is the SNR of the worst stem of one session against the other, none where all are equal.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import onnxruntime
from benchmark_machine import machine
from entrants import Entrant, in_turn, write_noise
from openvino_runtime import WARM_UP, worst_stem_db

from onnx_demucs_compiler.checking.verification import artifact_metadata
from onnx_demucs_compiler.runtime.audio import read_excerpt
from onnx_demucs_compiler.runtime.cores import usable_cores
from onnx_demucs_compiler.runtime.session import session_options

AT_ONCE = 64
"""Operators that are looked at in one run: each has up to 8 MB."""


def main() -> None:
    """Print one line of figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--song", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mix = Path(folder) / "mix.npy"
        write_noise(arguments.model, mix)
        if arguments.song:
            _, channels, samples = np.load(mix, mmap_mode="r").shape
            rate = artifact_metadata(arguments.model).sample_rate
            np.save(mix, read_excerpt(arguments.song, channels, samples, rate)[None])
        row = compared(arguments.model, mix, arguments.rounds)
        row["denormals"] = percentage(arguments.model, np.load(mix))
    metadata = artifact_metadata(arguments.model)
    found = machine() | {"weights": metadata.provenance or metadata.model} | row
    print(json.dumps(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def compared(model: Path, mix: Path, rounds: int) -> dict[str, float | None]:
    """Medians of seconds, and their ratio."""
    stems = {kind: mix.with_name(f"{kind}.npy") for kind in ("denormals", "session")}
    opened = {kind: Entrant(kind, str(model), mix, stems[kind], usable_cores()) for kind in stems}
    runs = in_turn(opened, rounds + WARM_UP)
    seconds = {kind: [turn.seconds for turn in turns[WARM_UP:]] for kind, turns in runs.items()}
    ratios = [kept / zero for kept, zero in zip(seconds["denormals"], seconds["session"], strict=True)]
    return {
        "seconds": round(median(seconds["denormals"]), 3),
        "seconds_as_zero": round(median(seconds["session"]), 3),
        "times_as_fast": round(median(ratios), 3),
        "db": db if math.isfinite(db := worst_stem_db(*map(np.load, stems.values()))) else None,
    }


def percentage(path: Path, mix: np.ndarray) -> float:
    """Denormal numbers among what the Softmax operators of a graph give."""
    model = onnx.load(path)
    names = [node.output[0] for node in model.graph.node if node.op_type == "Softmax"]
    own = list(model.graph.output)
    counted = total = 0
    for start in range(0, len(names), AT_ONCE):
        del model.graph.output[:]
        looked_at = [onnx.ValueInfoProto(name=name) for name in names[start : start + AT_ONCE]]
        model.graph.output.extend(own + looked_at)
        session = onnxruntime.InferenceSession(model.SerializeToString(), session_options())
        for value in session.run([output.name for output in looked_at], {"mix": mix}):
            counted += np.count_nonzero((value > 0) & (value < np.finfo(np.float32).smallest_normal))
            total += value.size
    return round(100 * counted / total, 3) if total else 0.0


if __name__ == "__main__":
    main()
