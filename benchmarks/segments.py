"""Shorter and longer segments: their quality, time and memory.

    python benchmarks/segments.py MODEL.onnx SONG [--stems FILE] [--seconds 2 3 4 6 7.8 12] [--rounds 3]
        [--json benchmarks/results/segments.json]

MODEL is of ``--length dynamic``. Stems are held against those with the model's own segment, of SONG, and
against the true ones, of a file with five sound tracks, the mix first (Native Instruments' Stems). Times of
the lengths are taken in turn; memory is the peak of a process that separates SONG.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark_machine import machine
from sound_tracks import read_song, sdr_db, sound_tracks

from onnx_demucs_compiler.checking.decibels import energy, error_energy, to_mix_db
from onnx_demucs_compiler.runtime import Separator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEMORY = """
import sys
from pathlib import Path
import numpy as np
from benchmark_memory import peak_mb
from onnx_demucs_compiler.runtime import Separator
from onnx_demucs_compiler.runtime.audio import read_blocks
separator = Separator(Path(sys.argv[1]), segment=float(sys.argv[3]))
metadata = separator.metadata
blocks = read_blocks(Path(sys.argv[2]), metadata.sample_rate, metadata.audio_channels)
separator.separate(np.concatenate(list(blocks), axis=1))
print(peak_mb())
"""


def main() -> None:
    """Print a row for each length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("song", type=Path)
    parser.add_argument("--stems", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[2.0, 3.0, 4.0, 6.0, 7.8, 12.0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    own = Separator(arguments.artifact)
    separators = {length: Separator(arguments.artifact, segment=length) for length in arguments.seconds}
    song = read_song(arguments.song, own)
    reference = own.separate(song)
    seconds = _seconds(separators, song, arguments.rounds)
    rows: dict[str, dict[str, Any]] = {}
    for length, separator in separators.items():
        stems = separator.separate(song)
        rows[f"{length:g}"] = {
            "seconds_per_second": round(seconds[length] / (song.shape[1] / own.metadata.sample_rate), 3),
            "peak_mb": _peak_mb(arguments.artifact, arguments.song, length),
            "error_to_mix_db": {
                name: round(to_mix_db(error_energy(reference[name], stems[name]), energy(song)), 1)
                for name in stems
            },
            **({"sdr_db": _sdr(separator, arguments.stems)} if arguments.stems else {}),
        }
        print(length, rows[f"{length:g}"], flush=True)
    results = {
        **machine(),
        "model": own.metadata.model,
        "target": own.metadata.target,
        "own_seconds": own.metadata.segment / own.metadata.sample_rate,
        "song": arguments.song.name,
        "song_seconds": song.shape[1] / own.metadata.sample_rate,
        "stems": arguments.stems and arguments.stems.name,
        "lengths": rows,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _seconds(
    separators: dict[float, Separator], song: NDArray[np.float32], rounds: int
) -> dict[float, float]:
    """The median of each, in turn; the first round is not counted."""
    taken: dict[float, list[float]] = {length: [] for length in separators}
    for _ in range(rounds + 1):
        for length, separator in separators.items():
            began = time.perf_counter()
            separator.separate(song)
            taken[length].append(time.perf_counter() - began)
    return {length: statistics.median(found[1:]) for length, found in taken.items()}


def _peak_mb(artifact: Path, song: Path, seconds: float) -> int:
    command = [sys.executable, "-c", MEMORY, artifact.resolve(), song.resolve(), str(seconds)]
    return int(subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parent).stdout)


def _sdr(separator: Separator, path: Path) -> dict[str, float]:
    mix, *true = sound_tracks(path)
    return sdr_db(true, separator.separate(mix))


if __name__ == "__main__":
    main()
