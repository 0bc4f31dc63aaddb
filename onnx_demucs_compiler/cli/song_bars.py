"""Progress of songs, as ``separate`` shows it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich import progress
from rich.console import Console

if TYPE_CHECKING:
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
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            disable=not (visible and console.is_terminal),
            speed_estimate_period=SPEED_PERIOD,
        )
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


def _size(path: Path) -> int:
    """Bytes of a file; none of one that is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
