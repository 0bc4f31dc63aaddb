"""Many songs: one is separated while its neighbours are decoded and written."""

from __future__ import annotations

import errno
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.output import DistinctNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from onnx_demucs_compiler.runtime.job import Job, SeparatedSong
    from onnx_demucs_compiler.runtime.songs import Song

LOG = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a full disk, on which no other song would fare better."""


@dataclass(frozen=True)
class Outcome:
    """The end of a song: stems, or an error.

    Attributes:
        song: the file.
        result: its stems; None where it failed.
        error: why it failed; None where it did not.
    """

    song: Path
    result: SeparatedSong | None = None
    error: CompilerError | None = None


def pipeline(
    songs: Iterable[Song], job_of: Callable[[Song], Job], separate: Callable[[Job], None]
) -> Iterator[Outcome]:
    """Run the steps of every song in this and two other threads.

    Args:
        songs: in their order.
        job_of: makes the job of a song.
        separate: runs the middle step of a job, in this thread.

    Yields:
        The outcome of each song, in their order.

    Raises:
        OSError: the disk is full.
    """
    names = DistinctNames("rename one, or give it an --out of its own")

    def decode(run: _Run) -> None:
        names.add(str(run.song.path), str(run.song.folder))
        run.job = job_of(run.song)
        if run.job.finished is None:
            run.job.decode()
        else:
            run.end(run.job.finished)

    runs: deque[_Run] = deque()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        try:
            decoded = _one_ahead(reader, _begun(songs, runs), decode)
            separated = (run.take(lambda run: separate(run.job)) for run in decoded)
            for run in _one_ahead(writer, separated, lambda run: run.end(run.job.write())):
                assert run.outcome is not None
                yield run.outcome
        finally:
            for run in runs:
                run.cancel()
            reader.shutdown(cancel_futures=True)
            writer.shutdown(cancel_futures=True)
            for run in runs:
                run.close()


class _Run:
    """A song and its job, until there is an outcome."""

    job: Job
    outcome: Outcome | None = None

    def __init__(self, song: Song) -> None:
        self.song = song

    def take(self, step: Callable[[_Run], object]) -> _Run:
        """Run a step, unless there is an outcome.

        A failure for the song's own reasons is one.
        """
        if self.outcome is None:
            try:
                step(self)
            except CompilerError as error:
                self._fail(error)
            except OSError as error:
                if error.errno is None or error.errno in FULL:
                    raise
                self._fail(CompilerError(f"{self.song.path}: {error.strerror}"))
        return self

    def end(self, result: SeparatedSong) -> None:
        self.outcome = Outcome(self.song.path, result)
        self.close()

    def cancel(self) -> None:
        if hasattr(self, "job"):
            self.job.cancel()

    def close(self) -> None:
        if hasattr(self, "job"):
            self.job.close()

    def _fail(self, error: CompilerError) -> None:
        LOG.debug("%s failed", self.song.path, exc_info=error)
        self.outcome = Outcome(self.song.path, error=_without_frames(error))
        self.close()


def _without_frames(error: CompilerError) -> CompilerError:
    """The error without the frames that it and its causes came through.

    They hold what it is kept in, and the session: a circle that lasts until the exit.
    """
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    return error


def _begun(songs: Iterable[Song], runs: deque[_Run]) -> Iterator[_Run]:
    """A run for each song; ``runs`` keeps those without an outcome."""
    for song in songs:
        runs.append(_Run(song))
        yield runs[-1]
        while runs and runs[0].outcome:
            runs.popleft()


def _one_ahead(
    thread: ThreadPoolExecutor, runs: Iterable[_Run], step: Callable[[_Run], object]
) -> Iterator[_Run]:
    """Take a step of each run in a thread, one ahead."""
    waiting: deque[Future[_Run]] = deque()
    for run in runs:
        waiting.append(thread.submit(run.take, step))
        if len(waiting) > 1:
            yield waiting.popleft().result()
    for last in waiting:
        yield last.result()
