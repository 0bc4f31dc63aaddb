"""Fill docs/separate.md with screens of a terminal.

Progress over three songs, a song that fails, and a device that fails its check.

``python docs/terminal_captures.py`` does, with ``pip install pyte``; a small model stands in for a real one,
and a device made wrong on purpose for a faulty one.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import tempfile
from pathlib import Path

import pyte
import soundfile

from onnx_demucs_compiler.checking.synthesis import synthetic_song

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "separate.md"
COLUMNS, LINES = 110, 24
SECONDS, RATE = 60, 44100
ENVIRONMENT = {
    **os.environ,
    "COLUMNS": str(COLUMNS),
    "LINES": str(LINES),
    "TERM": "xterm",
    "PYTHONPATH": os.pathsep.join(
        str(ROOT / folder) for folder in (".", "rules", "benchmarks", "tests/runtime")
    ),
}
SEPARATE = [sys.executable, "-m", "onnx_demucs_compiler", "separate", "htdemucs.onnx"]
FAULTY = """
import sys
from onnx_demucs_compiler.__main__ import main
from onnx_demucs_compiler.runtime import devices

class Faulty(devices.Device):
    def open(self, path, threads):
        session = super().open(path, threads)
        run = session.run
        session.run = lambda names, feeds: [output * 0.99 for output in run(names, feeds)]
        return session

one = next(device for device in devices.DEVICES if device.name == "webgpu")
devices.DEVICES = (Faulty("webgpu", devices.CPU.provider, one.package, one.target),)
sys.argv[0] = "onnx-demucs"
main()
"""


def main() -> None:
    """Take the three, and put them between their marks in the page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder)
        screens = {
            "progress": _screen([*SEPARATE, "songs", "-o", "stems"], folder, r"2 of 3 songs .* [45]\d%"),
            "failure": _screen([*SEPARATE, "album", "-o", "stems", "--resume"], folder),
            "device": _screen(
                [sys.executable, "-c", FAULTY, *SEPARATE[3:], "songs/1.wav", "-o", "stems", "-d", "webgpu"],
                folder,
            ),
        }
    text = PAGE.read_text(encoding="utf-8")
    for mark, screen in screens.items():
        before, rest = text.split(f"<!-- {mark}:start -->\n")
        after = rest.partition(f"<!-- {mark}:end -->")[2]
        text = f"{before}<!-- {mark}:start -->\n```\n{screen}\n```\n<!-- {mark}:end -->{after}"
    PAGE.write_text(text, encoding="utf-8")


def _prepare(folder: Path) -> None:
    """Write the model, songs, and an album of which one is damaged."""
    write = "import pathlib, small_checkpoint as it; it.write_small_checkpoint(pathlib.Path('htdemucs.th'))"
    subprocess.run([sys.executable, "-c", write], cwd=folder, env=ENVIRONMENT, check=True)
    make = [
        sys.executable,
        "-m",
        "onnx_demucs_compiler",
        "compile",
        "htdemucs.th",
        "-o",
        "htdemucs.onnx",
        "--quiet",
    ]
    subprocess.run(make, cwd=folder, env=ENVIRONMENT, check=True)
    for place, names in (("songs", "123"), ("album", "46")):
        (folder / place).mkdir()
        for name in names:
            soundfile.write(folder / place / f"{name}.wav", synthetic_song(SECONDS * RATE, RATE).T, RATE)
    (folder / "album" / "5.mp3").write_bytes(b"\0" * 5000)


def _screen(command: list[str], folder: Path, until: str = "") -> str:
    """The last screen that matches a pattern, or the one at the end, without what is empty."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    taken = ""
    while process.poll() is None or select.select([ours], [], [], 0)[0]:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            stream.feed(os.read(ours, 65536))
        except OSError:  # its end, on Linux
            break
        shown = "\n".join(line.rstrip() for line in screen.display).strip("\n")
        if until and re.search(until, shown):
            taken = shown
    process.wait()
    os.close(ours)
    return taken or "\n".join(line.rstrip() for line in screen.display).strip("\n")


if __name__ == "__main__":
    main()
