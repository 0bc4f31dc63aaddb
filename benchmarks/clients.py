"""The clients of examples/ against ``onnx-demucs separate``: agreement, time, memory.

    python benchmarks/clients.py MODEL.onnx [--seconds 20] [--runs 3] [--json FILE]

Each client that can be built here separates the same song to disk in a process of its own, in turn. Time and
memory are those of the whole process, model and song loaded and stems written.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile
from benchmark_machine import machine

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.runtime import Separator

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
sys.path.append(str(EXAMPLES))

from build_clients import BUILDERS, Client, Missing  # noqa: E402

REFERENCE = "onnx-demucs separate"
POLL_SECONDS = 0.02


def main() -> None:
    """Print the figures of each client."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    entrants, left_out = _entrants()
    metadata = Separator(arguments.artifact).metadata
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song = folder / "song.wav"
        samples = synthetic_song(round(arguments.seconds * metadata.sample_rate), metadata.sample_rate)
        soundfile.write(song, samples.T, metadata.sample_rate, "FLOAT")
        measured: dict[str, list[tuple[float, int]]] = {entrant: [] for entrant in entrants}
        for _ in range(arguments.runs):
            for entrant, client in entrants.items():
                words = [*client.command, str(arguments.artifact), str(song), *_output(entrant, folder)]
                measured[entrant].append(_run(words, client.environment))
        agreement = {
            entrant: _agreement(folder / REFERENCE, folder / entrant)
            for entrant in entrants
            if entrant != REFERENCE
        }
    results = {
        **machine(),
        "node_onnxruntime": _version_of_node(),
        "model": metadata.model,
        "seconds_of_audio": arguments.seconds,
        "runs": arguments.runs,
        "agreement_db": agreement,
        "clients": {
            entrant: {
                "seconds": round(statistics.median(seconds for seconds, _ in runs), 2),
                "least_seconds": round(min(seconds for seconds, _ in runs), 2),
                "peak_rss_mb": max(peak for _, peak in runs),
            }
            for entrant, runs in measured.items()
        },
        "left_out": left_out,
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _entrants() -> tuple[dict[str, Client], dict[str, str]]:
    """The clients by name, and those that cannot be built, with reasons."""
    separate = Client((sys.executable, "-m", "onnx_demucs_compiler", "separate", "--float32", "--quiet"))
    built, left_out = {REFERENCE: separate}, {}
    for name, build in BUILDERS.items():
        try:
            built[name] = build()
        except Missing as reason:
            left_out[name] = str(reason)
    return built, left_out


def _output(entrant: str, folder: Path) -> list[str]:
    place = str(folder / entrant)
    return ["--out", place] if entrant == REFERENCE else [place]


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Seconds, and peak resident memory in MB as Linux last reported it."""
    began = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    status, peak = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        if found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):
            peak = int(found[1]) // 1024
        time.sleep(POLL_SECONDS)
    if process.returncode:
        sys.exit(f"{command[0]} failed")
    return time.monotonic() - began, peak


def _agreement(expected: Path, found: Path) -> float | None:
    """The SNR of the worst stem in dB; None for identical samples."""
    stems = sorted(expected.rglob("*.wav"))
    worst = min(
        snr_db(soundfile.read(stem)[0], soundfile.read(found / stem.relative_to(expected))[0])
        for stem in stems
    )
    return None if worst == float("inf") else round(worst, 1)


def _version_of_node() -> str | None:
    package = EXAMPLES / "node" / "node_modules" / "onnxruntime-node" / "package.json"
    return json.loads(package.read_text(encoding="utf-8"))["version"] if package.exists() else None


if __name__ == "__main__":
    main()
