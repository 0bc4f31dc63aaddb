"""Songs by ``separate`` and by demucs' own command, in turn.

    python benchmarks/songs.py [--model untrained:htdemucs] [--songs 20] [--seconds 30] [--rounds 1]
        [--json benchmarks/results/songs.json]

MODEL may be a checkpoint. Both commands read the same files and write float32 stems, of segments without
random shifts; their times have everything in them, from the start of Python to the last stem. The graph is
compiled beforehand, with ``--target ort``. Of a run of ours in this process it is told, too, for which
part of the time after the session was opened the session ran.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import soundfile
import torch
from benchmark_machine import machine

import onnx_demucs_compiler
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.runtime import Encoding, Separator, find_songs

NAME = "measured"
"""The checkpoint's, and so the model's, in both commands."""


def main() -> None:
    """Print times, their ratio and the SNR between the stems."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="untrained:htdemucs")
    parser.add_argument("--songs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        artifact = _prepare(here, arguments.model, arguments.songs, arguments.seconds)
        songs = sorted((here / "songs").iterdir())
        commands = {
            "onnx-demucs": ["onnx_demucs_compiler", "separate", artifact, *songs, "-o", here / "ours",
                            "--quiet"],
            "demucs": ["demucs", "--repo", here / "repo", "-n", NAME, "-d", "cpu", "--shifts", "0",
                       *songs, "-o", here / "theirs"],
        }  # fmt: skip
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.rounds):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run([sys.executable, "-m", *command, "--float32"], check=True, capture_output=True)
                taken[name].append(round(time.perf_counter() - began, 2))
                print(name, taken[name][-1], flush=True)
        least = {name: min(found) for name, found in taken.items()}
        results = {
            **machine(),
            "model": Path(arguments.model).name,
            "songs": arguments.songs,
            "song_seconds": arguments.seconds,
            "seconds": taken,
            "times_as_fast": round(least["demucs"] / least["onnx-demucs"], 2),
            "worst_stem_db": round(_worst_db(here / "ours" / artifact.stem, here / "theirs" / NAME), 1),
            "session_part": round(_session_part(artifact, here), 3),
        }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _prepare(here: Path, model: str, songs: int, seconds: float) -> Path:
    """Write songs, demucs' repository and the graph; the graph's path."""
    source = load_model(model)
    rate = source.sample_rate or 0
    (here / "songs").mkdir()
    (here / "repo").mkdir()
    for index in range(songs):
        song = synthetic_song(round(seconds * rate) + index, rate)
        soundfile.write(here / "songs" / f"{index:02}.wav", song.T, rate)
    args, kwargs = source.module._init_args_kwargs
    package = {"klass": type(source.module), "args": args, "kwargs": kwargs, "training_args": {}}
    torch.save(package | {"state": source.module.state_dict()}, here / "repo" / f"{NAME}.th")
    artifact = here / f"{NAME}.onnx"
    onnx_demucs_compiler.compile(here / "repo" / f"{NAME}.th", target="ort", verify=False).save(artifact)
    return artifact


def _worst_db(ours: Path, theirs: Path) -> float:
    """SNR of the worst stem of all songs."""
    found = []
    for path in sorted(theirs.rglob("*.wav")):
        wanted, _ = soundfile.read(path)
        got, _ = soundfile.read(ours / path.relative_to(theirs))
        found.append(snr_db(wanted, got))
    return min(found)


def _session_part(artifact: Path, here: Path) -> float:
    """Seconds in ``session.run`` by those of the whole run."""
    separator = Separator(artifact)
    session: Any = separator._graph._session
    run, inside = session.run, []

    def timed(*given: Any) -> Any:
        began = time.perf_counter()
        outputs = run(*given)
        inside.append(time.perf_counter() - began)
        return outputs

    session.run = timed
    began = time.perf_counter()
    songs = find_songs(here / "songs")
    for outcome in separator.separate_files(songs, here / "again", encoding=Encoding(float32=True)):
        if outcome.error:
            raise outcome.error
    return sum(inside) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
