"""The recordings in a FLAC file, and their true lengths (RFC 9639)."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

from onnx_demucs_compiler.runtime.containers.part import Part, read_at

if TYPE_CHECKING:
    from typing import BinaryIO

_MARK = b"fLaC\0\0\0\x22"
"""The stream marker and the header of the STREAMINFO block, unless that is the only block of metadata."""
_SEARCHED = 1 << 20
_BLOCKS = (0, 192, 576, 1152, 2304, 4608, 0, 0, *(1 << code for code in range(8, 16)))
"""Samples of a frame by the code in its header; for two codes the number is stored."""
_LONGEST_FRAME = 1 << 20
_LONGEST_HEADER = 16
_COUNT = slice(21, 26)
"""The place of the number of samples in a stream, in the low 36 of 40 bits; 0 leaves it open."""


def flac_parts(file: BinaryIO, start: int, end: int) -> list[Part]:
    """Split where a stream marker begins another stream.

    Args:
        file: holds the streams.
        start: of the first in bytes.
        end: of the last in bytes.
    """
    borders = [start, *_marks(file, start + 1, end), end]
    return [_part(file, *border) for border in pairwise(borders)]


def _marks(file: BinaryIO, position: int, end: int) -> list[int]:
    marks = []
    while position < end:
        found = read_at(file, position, _SEARCHED).find(_MARK)
        if found < 0:
            position += _SEARCHED - len(_MARK) + 1
        else:
            marks.append(position + found)
            position += found + 1
    return [mark for mark in marks if mark < end]


def _part(file: BinaryIO, start: int, end: int) -> Part:
    header = bytearray(read_at(file, start, _COUNT.stop))
    there = _samples(file, start, end, int.from_bytes(header[8:10], "big"))
    counts = int.from_bytes(header[_COUNT], "big")
    counted = counts & (1 << 36) - 1
    if not there or there <= counted:  # a file that was cut is libFLAC's to judge
        return Part(start, end, counted=Fraction(1) if counted else None)
    header[_COUNT] = (counts - counted + there).to_bytes(5, "big")
    share = Fraction(counted, there) if counted else None
    return Part(start + len(header), end, bytes(header), share)


def _samples(file: BinaryIO, start: int, end: int, block: int) -> int | None:
    """The number of samples up to the last frame; None without one.

    ``block`` is the number of samples in a frame, where all have as many.
    """
    begin = max(start, end - _LONGEST_FRAME)
    tail = read_at(file, begin, end - begin)
    position = len(tail)
    while (position := tail.rfind(b"\xff", 0, position)) >= 0:
        if tail[position + 1 : position + 2] not in (b"\xf8", b"\xf9"):
            continue
        samples = _end_of(tail[position : position + _LONGEST_HEADER], block)
        if samples is not None and _crc16(tail[position:]) == 0:
            return samples
    return None


def _end_of(header: bytes, block: int) -> int | None:
    """The number of the sample behind a frame that begins here."""
    frame = header.ljust(_LONGEST_HEADER, b"\0")
    number, at = _coded_number(frame)
    code = frame[2] >> 4
    stored = {6: 1, 7: 2}.get(code, 0)
    size = _BLOCKS[code] or int.from_bytes(frame[at : at + stored], "big") + 1
    at += stored + {12: 1, 13: 2, 14: 2}.get(frame[2] & 15, 0)
    if number is None or code == 0 or _crc8(frame[: at + 1]) != 0:
        return None
    return size + (number if frame[1] & 1 else number * block)


def _coded_number(frame: bytes) -> tuple[int | None, int]:
    """The frame's or sample's number, coded as in UTF-8, and its end."""
    first = frame[4]
    if first < 0x80:
        return first, 5
    length = 8 - (first ^ 0xFF).bit_length()
    if length == 1 or length == 8:
        return None, 5
    number = first & (0x7F >> length)
    for byte in frame[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    return number, 4 + length


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _TABLE8[crc ^ byte]
    return crc


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFF00) ^ _TABLE16[crc >> 8 ^ byte]
    return crc


def _table(polynomial: int, width: int) -> list[int]:
    table = []
    for byte in range(256):
        crc = byte << width - 8
        for _ in range(8):
            crc = crc << 1 ^ (polynomial if crc >> width - 1 else 0)
            crc &= (1 << width) - 1
        table.append(crc)
    return table


_TABLE8, _TABLE16 = _table(0x07, 8), _table(0x8005, 16)
