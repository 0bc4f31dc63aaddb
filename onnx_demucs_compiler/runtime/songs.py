"""The songs of folders and lists, and the places of their stems."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.manifest import MANIFEST
from onnx_demucs_compiler.runtime.output import check_folder_name

if TYPE_CHECKING:
    from collections.abc import Iterator

AUDIO = frozenset({
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".mp3", ".mp2", ".ogg", ".oga", ".opus", ".aif",
    ".aiff", ".aifc", ".caf", ".au", ".snd", ".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".aac", ".webm", ".mkv",
    ".mka", ".ac3", ".eac3", ".wma", ".wv", ".ape", ".tta",
})  # fmt: skip
"""Suffixes of files that may hold a song, as folders are searched for them."""


@dataclass(frozen=True)
class Song:
    """A song, and the folder of its stems within ``OUT_DIR/MODEL``.

    Attributes:
        path: the file.
        place: the path that its folder is named after; the file's own name when None.
    """

    path: Path
    place: PurePath | None = None

    @property
    def folder(self) -> PurePath:
        """The folder: the place without its suffix.

        Raises:
            UsageError: on some system no folder has that name.
        """
        place = self.place or PurePath(self.path.name)
        names = [*place.parent.parts, place.stem]
        for name in names:
            check_folder_name(name, self.path)
        return PurePath(*names)


def find_songs(folder: Path, *, leave_out: Path | None = None) -> Iterator[Song]:
    """Find the songs in a folder and below, in order.

    By the suffixes of :data:`AUDIO`. Hidden files and folders are passed over, and so are folders of stems.

    Args:
        folder: to search; the stems keep its folders.
        leave_out: another folder to pass over.

    Raises:
        CompilerError: the folder, or one below, cannot be read.
    """
    out = leave_out and leave_out.resolve()
    for place, folders, files in os.walk(folder, onerror=_refuse):
        here = Path(place)
        folders[:] = [
            name for name in sorted(folders) if not name.startswith(".") and (here / name).resolve() != out
        ]
        if MANIFEST in files:
            continue
        for name in sorted(files):
            if may_be_song(name):
                yield Song(here / name, (here / name).relative_to(folder))


def may_be_song(name: str) -> bool:
    """True for the name of a file that folders are searched for."""
    return PurePath(name).suffix.lower() in AUDIO and not name.startswith(".")


def _refuse(error: OSError) -> None:
    raise CompilerError(f"{error.filename}: the folder cannot be read ({error.strerror})") from error


def listed_songs(text: str) -> Iterator[Song]:
    """The songs of a list, a path in each line.

    The stems keep the folders of a path that is relative and goes down only.
    """
    for line in lines_of(text):
        path = Path(line)
        is_below = not path.is_absolute() and ".." not in path.parts
        yield Song(path, PurePath(path) if is_below else None)


def lines_of(text: str) -> Iterator[str]:
    """The lines of a list that name a song.

    Empty lines and those that begin with ``#`` are passed over, so that a playlist (M3U) is a list.
    """
    for line in text.removeprefix("\ufeff").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line
