"""A model's run through ONNX Runtime's C API in a given library."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from onnx_demucs_compiler.checking.decibels import snr_db

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = Path(__file__).with_name("separate.c")
WARM_UP = 2
PAUSE = 0.5
"""Idle threads of ONNX Runtime spin for a while, and would take time from who comes next."""


@dataclass(frozen=True)
class Task:
    """The task of every library.

    Attributes:
        program: ``separate.c``, compiled.
        model: in ORT format.
        mix: a WAV file.
        threads: how many an operator may use.
    """

    program: Path
    model: Path
    mix: Path
    threads: int

    def command(self, library: Path, stems: Path) -> list[str]:
        """The command that runs the task in ``library``."""
        words = (self.program, library, self.model, self.mix, stems, self.threads)
        return [str(word) for word in words]


class Process:
    """A library that has opened the model, and runs when told to."""

    def __init__(self, task: Task, library: Path, stems: Path) -> None:
        """Open the model; peak memory is that of the process so far."""
        self._stems = stems
        self._process = subprocess.Popen(
            task.command(library, stems), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.opened = self._answer()

    def run(self) -> dict[str, float]:
        """Run once."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._answer()
        sleep(PAUSE)
        return answer

    def stems(self) -> np.ndarray:
        """End the process; its last stems, as they lie in memory."""
        self._process.communicate()
        return np.fromfile(self._stems, np.float32)

    def _answer(self) -> dict[str, float]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args[1]} ended with status {self._process.wait()}")
        answer: dict[str, float] = json.loads(line)
        return answer


def compiled(include: Path, program: Path) -> Path:
    """``separate.c``, compiled against the headers in ``include``."""
    subprocess.run(["cc", "-O2", "-Wall", "-I", include, PROGRAM, "-o", program, "-ldl"], check=True)
    return program


def measured(
    task: Task, libraries: Mapping[str, Path], reference: str, rounds: int, work: Path
) -> dict[str, Any]:
    """Run the libraries in turn; return their costs and distance from ``reference``."""
    opened = {
        name: Process(task, library, work / f"stems-{number}.f32")
        for number, (name, library) in enumerate(libraries.items())
    }
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in opened}
    for _ in range(rounds + WARM_UP):
        for name, process in opened.items():
            turns[name].append(process.run())
    stems = {name: process.stems() for name, process in opened.items()}
    seconds = {
        name: statistics.median(turn["seconds"] for turn in found[WARM_UP:]) for name, found in turns.items()
    }
    return {
        name: {
            "load_seconds": opened[name].opened["load_seconds"],
            "load_peak_mb": round(opened[name].opened["peak_kb"] / 1024),
            "seconds": round(seconds[name], 3),
            "least_seconds": min(turn["seconds"] for turn in found[WARM_UP:]),
            "least_cpu_seconds": min(turn["cpu_seconds"] for turn in found[WARM_UP:]),
            "speed_vs_wheel": round(seconds[reference] / seconds[name], 3),
            "peak_mb": round(found[-1]["peak_kb"] / 1024),
            "snr_db_to_wheel": None if name == reference else round(snr_db(stems[reference], stems[name]), 1),
        }
        for name, found in turns.items()
    }


def agreement(task: Task, library: Path, work: Path) -> float:
    """The SNR of a library's stems against the wheel's, in dB."""
    wanted, found = (_once(task, which, work / "stems.f32") for which in (wheel_library(), library))
    return round(snr_db(wanted, found), 1)


def _once(task: Task, library: Path, stems: Path) -> np.ndarray:
    process = Process(task, library, stems)
    process.run()
    return process.stems()


def refusal(task: Task, library: Path, stems: Path) -> dict[str, Any]:
    """The message with which a library without an operator refuses the model."""
    command = task.command(library, stems)
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return {"status": ended.returncode, "message": ended.stderr.strip()}


def wheel_library() -> Path:
    """The full library that onnxruntime's wheel has for C programs."""
    (found,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    return found


def compiler() -> str:
    """The C++ compiler, and what it compiles for."""
    found = subprocess.run(["c++", "--version"], check=True, capture_output=True, text=True).stdout
    return f"{found.splitlines()[0]}, {platform.machine()}"
