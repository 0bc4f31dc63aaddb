"""Memory of a model that is part of its program.

    python benchmarks/embedded.py MODEL [--seconds 16] [--json FILE]

The C++ client separates a song with the model from a file in ORT format, and with the model in the program,
which ONNX Runtime copies or uses where it lies. Memory is the largest that Linux told of the process: all
that is resident, and the part of it that is the process's own (anonymous) and not a page of a file, which the
system can drop and share.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile
from benchmark_machine import machine

from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.ort import as_ort_format, write_embedded
from onnx_demucs_compiler.runtime import Separator

CPP = Path(__file__).resolve().parent.parent / "examples" / "cpp"
sys.path.append(str(CPP.parent))

import build_clients  # noqa: E402

POLL_SECONDS = 0.01
FIELDS = {"peak_rss_mb": "VmHWM", "private_mb": "RssAnon", "of_files_mb": "RssFile"}


def main() -> None:
    """Print the figures of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--seconds", type=float, default=16.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, song = folder / "model.ort", folder / "song.wav"
        model.write_bytes(as_ort_format(arguments.artifact))
        metadata = Separator(model).metadata
        samples = synthetic_song(round(arguments.seconds * metadata.sample_rate), metadata.sample_rate)
        soundfile.write(song, samples.T, metadata.sample_rate, "FLOAT")
        programs = _built(folder, model)
        ways = {
            "a file": [programs / "separate", model, song, folder / "file"],
            "in the program, copied": [programs / "embedded", song, folder / "copied", "--copy", "1"],
            "in the program, where it lies": [programs / "embedded", song, folder / "in-place"],
        }
        measured = {way: _run([str(word) for word in words]) for way, words in ways.items()}
        facts = {
            "model": metadata.model,
            "bytes": model.stat().st_size,
            "seconds_of_audio": arguments.seconds,
        }
        results = {**machine(), **facts, "ways": measured}
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _built(folder: Path, model: Path) -> Path:
    """The folder of the client's programs."""
    write_embedded(folder / "plugin", model.read_bytes(), "model")
    root = build_clients.onnxruntime_root()
    configure = [
        "-S",
        CPP,
        "-B",
        folder / "build",
        f"-DEMBEDDED={folder / 'plugin'}",
        f"-DONNXRUNTIME_ROOT={root}",
    ]
    for words in (configure, ["--build", folder / "build"]):
        subprocess.run(["cmake", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    return folder / "build"


def _run(command: list[str]) -> dict[str, int]:
    """The largest of each of Linux's figures, in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    status, largest = Path(f"/proc/{process.pid}/status"), dict.fromkeys(FIELDS, 0)
    while process.poll() is None:
        text = status.read_text()
        for name, field in FIELDS.items():
            if found := re.search(rf"{field}:\s+(\d+) kB", text):
                largest[name] = max(largest[name], int(found[1]) // 1024)
        time.sleep(POLL_SECONDS)
    if process.returncode:
        sys.exit(f"{command[0]} failed")
    return largest


if __name__ == "__main__":
    main()
