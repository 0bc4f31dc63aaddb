"""A catalogue on one and two workers, against ``separate`` without Ray.

    build/ray/bin/python benchmarks/catalogue.py [MODEL.onnx] [--songs 1000] [--seconds 2] [--workers 1 2]
        [--json FILE]

``make ray`` makes that environment. Without a model a small HTDemucs is compiled. The songs are noise, of one
to two times the seconds. Each worker has one thread. The time a song is that from the begin of the
first to the end of the last, without the start of Ray and of the sessions, which is told beside it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import ray
import soundfile
from benchmark_machine import machine
from small_checkpoint import write_small_checkpoint

import onnx_demucs_compiler
from onnx_demucs_compiler.catalogue import Cluster, Location, Wishes, find_catalogue, separate_catalogue
from onnx_demucs_compiler.runtime import Encoding, Separator, find_songs

if TYPE_CHECKING:
    from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata


def main() -> None:
    """Print the figures of each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("artifact", type=Path, nargs="?")
    parser.add_argument("--songs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifact = arguments.artifact or small_artifact(folder)
        separator = Separator(artifact, threads=1)
        write_songs(folder / "songs", arguments.songs, arguments.seconds, separator.metadata)
        began = time.perf_counter()
        for outcome in separator.separate_files(find_songs(folder / "songs"), folder / "one"):
            assert outcome.result, outcome.error
        alone = (time.perf_counter() - began) / arguments.songs
        rows = [measure(artifact, folder, workers) for workers in arguments.workers]
    model = arguments.artifact.stem if arguments.artifact else "a small HTDemucs"
    facts = {
        "model": model,
        "songs": arguments.songs,
        "seconds": arguments.seconds,
        "alone_seconds": alone,
        "rows": rows,
    }
    print(f"one thread without Ray: {alone:.3f} s a song")
    for row in rows:
        print(
            f"{row['workers']} workers: {row['song_seconds']:.3f} s a song, "
            f"{alone / row['song_seconds']:.2f} times as fast, "
            f"{100 * row['busy']:.0f}% of their time at work, start {row['start_seconds']:.0f} s"
        )
    print("every stem there once, and the bytes of one machine")
    if arguments.json:
        told = {**machine(), "ray": ray.__version__, **facts}
        arguments.json.write_text(f"{json.dumps(told, indent=2)}\n", encoding="utf-8")


def small_artifact(folder: Path) -> Path:
    """A model that takes milliseconds."""
    onnx_demucs_compiler.compile(str(write_small_checkpoint(folder / "small.th")), verify=False).save(
        folder / "small.onnx"
    )
    return folder / "small.onnx"


def write_songs(folder: Path, count: int, seconds: float, metadata: ArtifactMetadata) -> None:
    """Songs of noise, of one to two times the seconds."""
    rate, channels = metadata.sample_rate, metadata.audio_channels
    for number in range(count):
        path = folder / f"{number // 100:03}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = round(rate * seconds * (1 + number / count))
        noise = np.random.default_rng(number).normal(0, 0.1, (length, channels))
        soundfile.write(path, noise, rate, "PCM_16")


def measure(artifact: Path, folder: Path, workers: int) -> dict[str, float]:
    """Separate all songs; figures in seconds.

    Raises:
        AssertionError: a stem is missing, or is not that of one machine.
    """
    out = folder / f"with {workers}"
    songs = find_catalogue([str(folder / "songs")], None, Location(str(out)))
    begins, ends = [], []
    began = time.perf_counter()
    separating = separate_catalogue(
        Location(str(artifact)), songs, Location(str(out)), Wishes(Encoding()), Cluster(None, workers, 1)
    )
    with closing(separating):
        for outcome in separating:
            assert not outcome.error, outcome.error
            ends.append(time.perf_counter() - began)
            begins.append(ends[-1] - outcome.processing_seconds)
    check_same(folder / "one", out)
    working = sum(ends) - sum(begins)
    span = max(ends) - min(begins)
    return {
        "workers": workers,
        "start_seconds": min(begins),
        "song_seconds": span / len(ends),
        "busy": working / (span * workers),
    }


def check_same(one: Path, other: Path) -> None:
    """Compare two folders, file by file, hidden ones too."""
    names = [{path.relative_to(folder) for path in folder.rglob("*")} for folder in (one, other)]
    assert names[0] == names[1]
    for name in names[0]:
        assert (one / name).is_dir() or (one / name).read_bytes() == (other / name).read_bytes(), name


if __name__ == "__main__":
    main()
