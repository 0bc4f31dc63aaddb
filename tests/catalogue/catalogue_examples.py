"""Songs, commands and processes for the tests of catalogues."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
from tiny_model import TinyModel

ROOT = Path(__file__).parents[2]
MODEL = "untrained_tiny_seed=0"
COMMAND = (sys.executable, "-c", "from onnx_demucs_compiler.__main__ import main; main()", "separate")
WORKER = b"ray::MapWorker"
Found = TypeVar("Found")


def write_songs(folder: Path, count: int, seconds: float = 0.3) -> Path:
    """Songs of different lengths, three of which make a folder."""
    for number in range(count):
        path = folder / f"{number // 3}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        length = round(8000 * seconds) + 17 * number
        soundfile.write(path, np.random.default_rng(number).normal(0, 0.1, (length, 2)), 8000)
    return folder


def write_long_song(path: Path, seconds: int) -> Path:
    block = np.random.default_rng(0).normal(0, 0.1, (8000, 2))
    with soundfile.SoundFile(path, "w", 8000, 2, "PCM_16") as file:
        for _ in range(seconds):
            file.write(block)
    return path


def tiny_artifact(folder: Path) -> Path:
    return TinyModel().save(folder / "tiny.onnx")


def environment(temporary: Path) -> dict[str, str]:
    """That of a command whose workers have this folder for what is temporary."""
    temporary.mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(temporary), "RAY_TMPDIR": "/tmp", "OMP_NUM_THREADS": "1"}


def start(*arguments: object, temporary: Path) -> "subprocess.Popen[str]":
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(
        words, env=environment(temporary), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def separate(*arguments: object, temporary: Path, timeout: float = 240) -> "subprocess.CompletedProcess[str]":
    with start(*arguments, temporary=temporary) as process:
        try:
            told, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, told, errors)


def wait_for(condition: Callable[[], Found], seconds: float = 120) -> Found:
    """What a condition gives, once that is something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def workers(temporary: Path) -> list[int]:
    """The processes of the workers whose temporary folder this is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if told[0].startswith(WORKER) and b"TMPDIR=" + os.fsencode(temporary) + b"\0" in told[1]:
            found.append(int(process.name))
    return found


def busy_worker(temporary: Path) -> int:
    """A worker that has a song, once there is one."""
    return wait_for(lambda: _busy(temporary))[0]


def _busy(temporary: Path) -> list[int]:
    """Those that hold the lock of a song's folder."""
    locks = {lock.stat().st_ino for lock in temporary.glob("onnx-demucs-song-*/.lock")}
    held = Path("/proc/locks").read_text()
    holders = {
        int(line[0]) for line in re.findall(r"WRITE (\d+) \w+:\w+:(\d+)", held) if int(line[1]) in locks
    }
    return sorted(holders & set(workers(temporary)))


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def manifests(out: Path) -> list[Path]:
    return sorted(out.rglob("stems.json"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def left_over(temporary: Path) -> list[str]:
    return [path.name for path in temporary.glob("onnx-demucs-song-*")]
