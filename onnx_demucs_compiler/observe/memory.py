"""Memory of this process over the steps of a compile, on Linux."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STATM = Path("/proc/self/statm")
INTERVAL_SECONDS = 0.05


@dataclass(frozen=True)
class MemorySample:
    """The memory resident at one moment.

    Attributes:
        step: the step of the pipeline that was under way.
        seconds: since the compile began.
        bytes: the resident set of the whole process, PyTorch and all.
    """

    step: str
    seconds: float
    bytes: int


class MemoryWatch:
    """Samples of memory, taken during each step by a thread."""

    def __init__(self) -> None:
        self._start = perf_counter()
        self._samples: list[MemorySample] = []

    @contextmanager
    def during(self, step: str) -> Iterator[None]:
        """Sample while a step is under way, if the system has ``/proc``."""
        if not STATM.exists():
            yield
            return
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(step, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _watch(self, step: str, done: threading.Event) -> None:
        self._sample(step)
        while not done.wait(INTERVAL_SECONDS):
            self._sample(step)
        self._sample(step)

    def _sample(self, step: str) -> None:
        seconds = perf_counter() - self._start
        self._samples.append(MemorySample(step, seconds, _resident_bytes()))

    def samples(self, most: int = 240) -> tuple[MemorySample, ...]:
        """The samples, thinned to about ``most`` peaks.

        Where there are more, of every few in one step the highest is kept; each step keeps one.
        """
        few = -(-len(self._samples) // most)
        return tuple(
            max(chosen[first : first + few], key=lambda sample: sample.bytes)
            for _, of_step in groupby(self._samples, lambda sample: sample.step)
            for chosen in [list(of_step)]
            for first in range(0, len(chosen), few)
        )


def _resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
