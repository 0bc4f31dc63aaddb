"""The songs of a catalogue, from files, folders and lists."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from onnx_demucs_compiler.catalogue.locations import Location, sizes_of
from onnx_demucs_compiler.catalogue.outcomes import CatalogueSong
from onnx_demucs_compiler.errors import CompilerError, UsageError, in_words
from onnx_demucs_compiler.runtime.manifest import MANIFEST
from onnx_demucs_compiler.runtime.songs import Song, find_songs, lines_of, listed_songs, may_be_song

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def find_catalogue(named: Iterable[str], listed: str | None, out: Location) -> list[CatalogueSong]:
    """Find the songs that are meant, as ``separate`` does on one machine.

    Args:
        named: paths or URIs of songs and folders.
        listed: the text of a list, a path or URI in each line.
        out: where the stems go, which is passed over.

    Raises:
        CompilerError: a folder cannot be read, or holds no song.
        UsageError: no song is named.
    """
    songs: list[CatalogueSong] = []
    for text in named:
        songs += _named(Location.of(text), out)
    if listed is not None:
        for line in lines_of(listed):
            location = Location.of(line)
            songs += map(_here, listed_songs(line)) if location.is_local else [_in_store(location)]
    if not songs:
        raise UsageError("no song is given; name a SONG, a folder of songs, or a --list")
    unknown = [number for number, song in enumerate(songs) if not song.size]
    for number, size in zip(unknown, sizes_of([songs[number].location for number in unknown]), strict=True):
        songs[number] = replace(songs[number], size=size)
    return songs


def _named(location: Location, out: Location) -> list[CatalogueSong]:
    """A song, or those of a folder and below."""
    if location.is_local:
        if not location.local.is_dir():
            return [_here(Song(location.local))]
        below = find_songs(location.local, leave_out=out.local if out.is_local else None)
        songs = list(map(_here, below))
    elif may_be_song(location.name):
        return [_in_store(location)]
    else:
        songs = list(_below(location, out))
    if not songs:
        raise CompilerError(f"{location}: there is no song in this folder or below")
    return songs


def _here(song: Song) -> CatalogueSong:
    place = song.place or PurePath(song.path.name)
    return CatalogueSong(str(song.path.absolute()), "", place.as_posix(), str(song.path))


def _in_store(location: Location) -> CatalogueSong:
    return CatalogueSong(location.path, location.store, location.name, str(location))


def _below(folder: Location, out: Location) -> Iterator[CatalogueSong]:
    """The songs below a folder of a store, as :func:`find_songs` has them."""
    try:
        found = sorted(folder.below())
    except OSError as error:
        raise CompilerError(f"{folder}: the folder cannot be read ({in_words(error)})") from error
    stems = {path.parent for path, _ in found if path.name == MANIFEST}
    for path, size in found:
        location = folder / path.as_posix()
        if (
            may_be_song(path.name)
            and path.parent not in stems
            and not any(part.startswith(".") for part in path.parts)
            and not location.is_below(out)
        ):
            yield CatalogueSong(location.path, location.store, path.as_posix(), str(location), size)
