"""The recordings in a stream of MPEG audio, by frame headers.

Layout of a frame: ISO/IEC 11172-3 and 13818-3. Of the tags in a first frame, Xing's with LAME's extension and
Fraunhofer's VBRI: what their makers published.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from onnx_demucs_compiler.runtime.containers.part import Part, read_at
from onnx_demucs_compiler.runtime.containers.tags import tag_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

DECODER_DELAY = 529
"""Samples by which a decoder of layer III lags; LAME counts them to the padding at the end."""

START = 1 << 16
"""Bytes in which a stream of frames has to begin."""

_RATES = (44100, 48000, 32000)
_KBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates in kbit/s by version and layer, from index 1 on."""

_HEADER = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]", re.DOTALL)
"""The beginning of a frame's header: sync word, layer, and a bit rate that is neither open nor forbidden."""
_SEARCHED = 1 << 12
"""Bytes in which a header is looked for at once."""
_SHORTEST_TAG = 54
"""Bytes of a frame in which any of the tags has its number of frames."""
_BEGINNING = 256
"""Bytes of a frame that hold its header and all that is read of a tag."""


@dataclass(frozen=True)
class _Frame:
    """A frame: place, size in bytes, samples per channel, format, bytes."""

    start: int
    size: int
    samples: int
    stream: tuple[int, int, int, bool]
    beginning: bytes

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True)
class _Tag:
    """A tag in a first frame, which holds no sound.

    Attributes:
        frames: how many others there are, as it says.
        frames_at: the position of that number in a Xing tag; None in a VBRI tag, sound to libmpg123.
        lame_at: that of LAME's delay and padding, if it has them.
    """

    frames: int
    frames_at: int | None
    lame_at: int | None = None


def mp3_parts(file: BinaryIO, start: int, end: int) -> list[Part]:
    """Split a stream at tags that begin recordings and at discontinuities.

    libmpg123 stops at a hole in a stream, or where the rate or the number of channels changes.

    Args:
        file: holds the stream.
        start: of the stream in bytes.
        end: of the stream in bytes.

    Returns:
        The recordings; none where no frames are at the start, or :data:`START` bytes behind it at most.
    """
    parts: list[Part] = []
    first = last = None
    count = 0
    if not begins_stream(file, start, end, START):
        return parts
    for frame in _frames(file, start, end):
        if first is None or not _continues(last, frame) or _tag(frame):
            if first and last:
                parts.append(_part(first, last, count))
            first, count = frame, 0
        last = frame
        count += 1
    if first and last:
        parts.append(_part(first, last, count))
    return parts


def begins_stream(file: BinaryIO, start: int, end: int, passed: int = 0) -> bool:
    """True if frames begin here, or ``passed`` bytes behind at most."""
    frames = list(islice(_frames(file, start, min(end, start + START)), 3))
    if not frames or frames[0].start > start + passed:
        return False
    return all(_continues(*pair) for pair in pairwise(frames))


def _part(first: _Frame, last: _Frame, count: int) -> Part:
    tag = _tag(first)
    there = count - 1
    if tag is None or there == 0:
        return Part(first.start, last.end, tells_end=False)
    if tag.frames_at is None:
        return Part(first.end, last.end, counted=Fraction(tag.frames, there), tells_end=False)
    if tag.frames == there:
        return Part(first.start, last.end, counted=Fraction(1), tells_end=False)
    header = bytearray(first.beginning)
    header[tag.frames_at : tag.frames_at + 4] = there.to_bytes(4, "big")
    delay = padding = 0
    if tag.lame_at is not None:
        gaps = int.from_bytes(header[tag.lame_at : tag.lame_at + 3], "big")
        delay, padding = gaps >> 12, gaps & 0xFFF
        header[tag.lame_at : tag.lame_at + 3] = (delay << 12 | DECODER_DELAY).to_bytes(3, "big")
    counted = Fraction(
        max(0, tag.frames * first.samples - delay - padding),
        max(1, there * first.samples - delay - (DECODER_DELAY if tag.lame_at else 0)),
    )
    return Part(first.start + len(header), last.end, bytes(header), counted, tells_end=False)


def _tag(frame: _Frame) -> _Tag | None:
    """A Xing, Info or VBRI tag that counts frames, if any."""
    version, layer, _, mono = frame.stream
    beginning = frame.beginning
    if layer != 3 or len(beginning) < _SHORTEST_TAG:
        return None
    if beginning[36:40] == b"VBRI":
        return _Tag(int.from_bytes(beginning[50:54], "big"), None)
    at = 4 + {(1, False): 32, (1, True): 17, (2, False): 17, (2, True): 9}[version, mono]
    if beginning[at : at + 4] not in (b"Xing", b"Info") or not beginning[at + 7] & 1:
        return None
    sizes = {1: 4, 2: 4, 4: 100, 8: 4}
    lame = at + 8 + sum(size for flag, size in sizes.items() if beginning[at + 7] & flag) + 21
    return _Tag(
        int.from_bytes(beginning[at + 8 : at + 12], "big"),
        at + 8,
        lame if lame + 3 <= len(beginning) else None,
    )


def _frames(file: BinaryIO, position: int, end: int) -> Iterator[_Frame]:
    """Every whole frame, skipping tags and all else between frames."""
    last: _Frame | None = None
    while position < end:
        frame = _frame_at(file, position, end)
        if frame and (_continues(last, frame) or _is_followed(file, frame, end)):
            yield frame
            last, position = frame, frame.end
        else:
            position += _to_pass_over(file, position)


def _continues(last: _Frame | None, frame: _Frame) -> bool:
    return last is not None and (last.end, last.stream) == (frame.start, frame.stream)


def _is_followed(file: BinaryIO, frame: _Frame, end: int) -> bool:
    """True if a like frame, a tag or nothing follows.

    A header alone is no sure sign.
    """
    following = _frame_at(file, frame.end, end)
    if following:
        return following.stream == frame.stream
    return frame.end == end or bool(tag_size(read_at(file, frame.end, 16)))


def _to_pass_over(file: BinaryIO, position: int) -> int:
    beginning = read_at(file, position, _SEARCHED)
    header = _HEADER.search(beginning, 1)
    return tag_size(beginning) or (header.start() if header else max(1, len(beginning) - 2))


def _frame_at(file: BinaryIO, position: int, end: int) -> _Frame | None:
    beginning = read_at(file, position, _BEGINNING)
    if len(beginning) < 4 or beginning[0] != 0xFF or beginning[1] < 0xE0:
        return None
    version = (3, None, 2, 1)[beginning[1] >> 3 & 3]
    layer = 4 - (beginning[1] >> 1 & 3)
    bits, rate_index = beginning[2] >> 4, beginning[2] >> 2 & 3
    if version is None or layer == 4 or bits in (0, 15) or rate_index == 3:
        return None
    generation = min(version, 2)
    rate = _RATES[rate_index] >> version - 1
    samples = 384 if layer == 1 else 1152 if layer == 2 or version == 1 else 576
    slot = 4 if layer == 1 else 1
    bytes_per_second = _KBITS[generation, layer][bits - 1] * 125
    size = (samples * bytes_per_second // (rate * slot) + (beginning[2] >> 1 & 1)) * slot
    if position + size > end:
        return None
    return _Frame(
        position, size, samples, (generation, layer, rate, beginning[3] >> 6 == 3), beginning[:size]
    )
