"""Whole songs in segments of several lengths, against demucs' apply_model.

    python benchmarks/whole_songs.py OPEN.onnx FIXED.onnx [--seconds 2.3 60 180] [--rounds 3]
        [--json benchmarks/results/whole_songs.json]

OPEN is of ``--length dynamic``, FIXED the same model without. The stems of both are
held against those of ``apply_model(shifts=0)`` in float32. Both are timed in turn on one whole segment, and
the least time of each counts; peak memory is that of a process that separates it. The results of several
models go into one file.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark_machine import machine
from separation import stems_by_demucs

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.runtime import Separator

if TYPE_CHECKING:
    import numpy as np

MEMORY = """
import sys
from pathlib import Path
import numpy as np
from benchmark_memory import peak_mb
from onnx_demucs_compiler.runtime import Separator
separator = Separator(Path(sys.argv[1]))
metadata = separator.metadata
separator.separate(np.zeros((metadata.audio_channels, metadata.segment), np.float32))
print(peak_mb())
"""


def main() -> None:
    """Print SNR for each song, and time and memory of a segment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("open", type=Path)
    parser.add_argument("fixed", type=Path)
    parser.add_argument("--seconds", type=float, nargs="*", default=[2.3, 60.0, 180.0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    paths = {"open": arguments.open, "fixed": arguments.fixed}
    separators = {name: Separator(path) for name, path in paths.items()}
    metadata = separators["open"].metadata
    results = {
        **machine(),
        "target": metadata.target,
        "segment_seconds": metadata.segment / metadata.sample_rate,
        "segment": _segment(separators, arguments.rounds),
        "peak_mb": {name: _peak_mb(path) for name, path in paths.items()},
        "snr_db": {f"{seconds:g}": _worst_db(separators, seconds) for seconds in arguments.seconds},
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        kept = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        text = json.dumps(kept | {metadata.model: results}, indent=2)
        arguments.json.write_text(f"{text}\n")


def _segment(separators: dict[str, Separator], rounds: int) -> dict[str, float]:
    """The least seconds of each for one whole segment."""
    metadata = separators["open"].metadata
    mix = synthetic_song(metadata.segment, metadata.sample_rate)
    seconds: dict[str, list[float]] = {name: [] for name in separators}
    for _ in range(rounds):
        for name, separator in separators.items():
            began = time.perf_counter()
            separator.separate(mix)
            seconds[name].append(time.perf_counter() - began)
    return {name: round(min(taken), 2) for name, taken in seconds.items()}


def _peak_mb(path: Path) -> int:
    command = [sys.executable, "-c", MEMORY, str(path.resolve())]
    printed = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout
    return int(printed)


def _worst_db(separators: dict[str, Separator], seconds: float) -> dict[str, float]:
    """SNR of the worst stem of each."""
    metadata = separators["open"].metadata
    song = synthetic_song(round(seconds * metadata.sample_rate), metadata.sample_rate)
    wanted = stems_by_demucs(metadata.model, song)
    return {
        name: round(min(_snr(wanted, separator.separate(song))), 1) for name, separator in separators.items()
    }


def _snr(wanted: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> list[float]:
    return [snr_db(wanted[stem], found[stem]) for stem in wanted]


if __name__ == "__main__":
    main()
