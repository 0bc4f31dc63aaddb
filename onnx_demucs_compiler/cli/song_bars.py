"""Progress of songs, as ``separate`` shows it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich import progress
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SPEED_PERIOD = 300.0
"""Seconds over which the speed is averaged that the time remaining comes from."""


class SongBars:
    """Bars on stderr, if that is a terminal: this song and all.

    All of them are measured by the bytes of their files, since their lengths are not known yet.
    """

    def __init__(self, songs: list[Path], *, visible: bool) -> None:
        """Show them while this is a context."""
        console = Console(file=sys.stderr)
        self._songs = songs
        self._sizes = [_size(song) for song in songs]
        self._done = 0
        self._shown = -1
        self._bars = _progress(console, visible=visible)
        self._all = self._bars.add_task("", total=sum(self._sizes), visible=len(songs) > 1)
        self._song = self._bars.add_task(songs[0].name, total=None)

    def __enter__(self) -> SongBars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, song: Path, done: int, total: int) -> None:
        """Show the samples of a song that are separated."""
        number = self._songs.index(song, self._done)
        before = sum(self._sizes[:number])
        if number != self._shown:
            self._shown = number
            self._bars.reset(self._song, description=song.name)
        self._bars.update(self._song, completed=done, total=total)
        self._bars.update(
            self._all,
            description=f"{number + 1} of {len(self._songs)} songs",
            completed=before + self._sizes[number] * done / total,
        )

    def end(self, song: Path, *, separated: bool) -> None:
        """Pass a song.

        One that was not separated says nothing of the time that others take.
        """
        number = self._songs.index(song, self._done)
        self._done = number + 1
        if not separated:
            self._sizes[number] = 0
        self._bars.update(
            self._all,
            description=f"{self._done} of {len(self._songs)} songs",
            completed=sum(self._sizes[: self._done]),
            total=sum(self._sizes),
        )


class CatalogueBar:
    """A bar on stderr, if that is a terminal, of all songs.

    These end in any order. They are measured by the bytes of their files.
    """

    def __init__(self, sizes: Sequence[int], *, visible: bool) -> None:
        """Show it while this is a context.

        Args:
            sizes: of each song in bytes, 0 where not known.
            visible: show it at all.
        """
        console = Console(file=sys.stderr)
        self._count, self._rest = len(sizes), sum(sizes)
        self._ended = self._failed = 0
        self._bar = _progress(console, visible=visible)
        self._all = self._bar.add_task(self._told(), total=self._rest)

    def __enter__(self) -> CatalogueBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def end(self, size: int, *, separated: bool, failed: bool) -> None:
        """Pass a song of so many bytes; see :meth:`SongBars.end`."""
        self._ended += 1
        self._failed += failed
        if separated:
            self._bar.advance(self._all, size)
        else:
            self._rest -= size
            self._bar.update(self._all, total=self._rest)
        self._bar.update(self._all, description=self._told())

    def _told(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._ended} of {self._count} songs{failed}"


def _progress(console: Console, *, visible: bool) -> progress.Progress:
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        disable=not (visible and console.is_terminal),
        speed_estimate_period=SPEED_PERIOD,
    )


def _size(path: Path) -> int:
    """Bytes of a file; none of one that is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
