"""The recordings chained in an Ogg file, by pages (RFC 3533)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from onnx_demucs_compiler.runtime.containers.chunked import RECORDINGS
from onnx_demucs_compiler.runtime.containers.part import Part, read_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_PAGE = b"OggS"
_BEGINS_A_STREAM, _ENDS_A_STREAM = 2, 4
_SEARCHED = 1 << 16
_RECORDING = re.compile(b"|".join(map(re.escape, sorted(RECORDINGS))))


class _Page(NamedTuple):
    """A page: its place in bytes, and what its header tells."""

    start: int
    end: int
    flags: int


def ogg_parts(file: BinaryIO, start: int, end: int) -> tuple[list[Part], int]:
    """Split where streams begin anew after others have had pages.

    Args:
        file: holds the pages.
        start: of the first in bytes.
        end: of the file, or of what is known to belong to it.

    Returns:
        The parts, and the position behind the last page.
    """
    parts: list[Part] = []
    begin, last = start, _Page(start, start, 0)
    for page in _pages(file, start, end):
        if page.flags & _BEGINS_A_STREAM and last.end > start and not last.flags & _BEGINS_A_STREAM:
            parts.append(_part(begin, page.start, last))
            begin = page.start
        last = page
    return [*parts, _part(begin, last.end, last)], last.end


def _part(start: int, end: int, last: _Page) -> Part:
    """Everything up to ``end``, of which a page is the last."""
    return Part(start, end, audio_end=last.start, is_cut=not last.flags & _ENDS_A_STREAM)


def _pages(file: BinaryIO, position: int, end: int) -> Iterator[_Page]:
    """Every page up to another recording; other bytes between pages are skipped.

    One that is cut ends where the file or the next recording does, and ends no stream.
    """
    while position < end:
        header = read_at(file, position, 27).ljust(27, b"\0")
        if header[:4] in RECORDINGS - {_PAGE}:
            return
        if header[:4] != _PAGE:
            found = read_at(file, position + 1, _SEARCHED).find(_PAGE)
            position += _SEARCHED - len(_PAGE) if found < 0 else 1 + found
            continue
        page_end = position + 27 + header[26] + sum(read_at(file, position + 27, header[26]))
        page = _Page(position, page_end, header[5])
        if page_end != end and read_at(file, page_end, 4) not in RECORDINGS:
            page = _cut(file, page, end)
        yield page
        position = page.end


def _cut(file: BinaryIO, page: _Page, end: int) -> _Page:
    """The page, up to a recording within it or the file's end."""
    inside = page.start + len(_PAGE)
    found = _RECORDING.search(read_at(file, inside, max(0, min(page.end, end) - inside)))
    if found:
        end = inside + found.start()
    return page if page.end <= end else _Page(page.start, end, page.flags & ~_ENDS_A_STREAM)
