"""Time and memory of a track graph by the track's length.

    python benchmarks/track.py TRACK.onnx [--model SEGMENT.onnx] [--seconds 10 60 180 600] [--json FILE]

``TRACK.onnx`` is what ``onnx-demucs compile MODEL --track`` wrote. Every length runs in a fresh process,
which says how long ``session.run`` took, its peak memory, and how large the stems are; with ``--model``,
the segment graph of the same model, also how far the stems are from those of ``separate`` (SNR of the
worst stem), for tracks of up to a minute.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.checking.verification import artifact_metadata
from onnx_demucs_compiler.runtime import Separator

COMPARED = 60
"""Seconds of the longest track that is compared with ``separate``."""

ONE_CALL = """
import sys
from time import perf_counter
import numpy as np
import onnxruntime as ort
from benchmark_memory import peak_mb
from onnx_demucs_compiler.runtime.session import session_options
session = ort.InferenceSession(sys.argv[1], session_options(), providers=["CPUExecutionProvider"])
mix = np.load(sys.argv[2])
began = perf_counter()
(stems,) = session.run(None, {"mix": mix})
print(perf_counter() - began, peak_mb(), stems.nbytes)
if sys.argv[3]:
    np.save(sys.argv[3], stems)
"""


def main() -> None:
    """Print a line for each length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("track", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0, 180.0, 600.0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rate = artifact_metadata(arguments.track).sample_rate
    rows = []
    for seconds in arguments.seconds:
        model = arguments.model if seconds <= COMPARED else None
        row = _measure(arguments.track, synthetic_song(round(seconds * rate), rate), model)
        rows.append({"seconds": seconds} | row)
        print(json.dumps(rows[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def _measure(track: Path, song: np.ndarray, segment_model: Path | None) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        mix, stems = Path(folder) / "mix.npy", Path(folder) / "stems.npy"
        np.save(mix, song)
        command = [sys.executable, "-c", ONE_CALL, str(track.resolve()), str(mix)]
        command.append(str(stems) if segment_model else "")
        printed = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent
        ).stdout
        spent, peak_mb, output_bytes = map(float, printed.split())
        row = {"run_seconds": round(spent, 2), "peak_mb": peak_mb, "stems_mb": round(output_bytes / 1e6, 1)}
        if segment_model:
            wanted = Separator(segment_model).separate(song).values()
            row["snr_db_to_separate"] = round(
                min(snr_db(one, other) for one, other in zip(wanted, np.load(stems), strict=True)), 1
            )
    return row


if __name__ == "__main__":
    main()
