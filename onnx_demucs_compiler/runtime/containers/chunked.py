"""Containers whose headers count the samples, WAV to AVR.

A recorder that loses power, a size of 32 bits and files joined end to end make the count wrong. The structure
of the container tells whether chunks and tags lie behind the counted samples, or more samples.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from onnx_demucs_compiler.runtime.containers.claim import Claim
from onnx_demucs_compiler.runtime.containers.flat import FLAT
from onnx_demucs_compiler.runtime.containers.mp3 import begins_stream, mp3_parts
from onnx_demucs_compiler.runtime.containers.part import Part, read_at
from onnx_demucs_compiler.runtime.containers.tags import tag_size

if TYPE_CHECKING:
    from typing import BinaryIO

    from onnx_demucs_compiler.runtime.containers.claim import Order

_FOURCC = re.compile(rb"[ -~]{4}")
_GUID = re.compile(rb".{10}(\x28\xdb\x04\xc1\0\0|\0\xc0\x4f\x8e\xdb\x8a)", re.DOTALL)
"""A chunk's name in W64: the last bytes of each are one of two addresses."""
_TRAILING = re.compile(b"LIST|id3 |ID3 |bext|iXML|cue |smpl|JUNK|PAD |_PMX")
"""Chunks that often follow the samples: known even where the file ends within them, or the size is wrong."""


@dataclass(frozen=True)
class _Layout:
    """The order of chunks in a container; numbers are of bytes.

    Attributes:
        first: the bytes before the first chunk.
        width: of a chunk's size, which follows its name.
        order: of the bytes in a size.
        audio: the name of the chunk of samples, and the bytes before them in it.
        align: chunks begin at multiples of it.
        name: of a chunk; four bytes of it tell which.
        names: of all chunks.
        trailing: names that are sure signs of chunks behind the samples.
        counts_header: whether a size counts the chunk's name and itself.
        to_the_end: whether libsndfile takes all behind the samples for samples.
    """

    first: int
    width: int
    order: Order
    audio: dict[bytes, int]
    align: int = 2
    name: int = 4
    names: re.Pattern[bytes] = _FOURCC
    trailing: re.Pattern[bytes] = _TRAILING
    counts_header: bool = False
    to_the_end: bool = False

    @property
    def header(self) -> int:
        """The bytes of a chunk before its content."""
        return self.name + self.width


_LAYOUTS = {
    b"RIFF": _Layout(12, 4, "little", {b"data": 0}),
    b"RIFX": _Layout(12, 4, "big", {b"data": 0}),
    b"RF64": _Layout(12, 4, "little", {b"data": 0}),
    b"FORM": _Layout(12, 4, "big", {b"SSND": 8, b"BODY": 0}),
    b"caff": _Layout(8, 8, "big", {b"data": 4}, align=1),
    b"riff": _Layout(40, 8, "little", {b"data": 0}, 8, 16, _GUID, _GUID, counts_header=True, to_the_end=True),
}
_IMA4_BLOCK = 34
"""Bytes per channel of a block of Apple's ADPCM."""
MAGICS = {*_LAYOUTS, *FLAT}
"""The first four bytes of these containers."""
RECORDINGS = MAGICS | {b"fLaC", b"OggS", b" paf", b"fap "}
"""Those of every container that is found behind another; PAF, the last, counts nothing."""
_SEARCHED = 1 << 18
"""Bytes at the end of a file in which such chunks are looked for."""
_MPEG_IN_RIFF = {0x50, 0x55}
"""Codecs in a RIFF's ``fmt`` chunk: MPEG layers I and II, and III."""


def chunked_parts(file: BinaryIO, start: int, end: int) -> tuple[list[Part], int]:
    """Find the recording in a container, and the end of the container.

    Args:
        file: holds the container, one of :data:`MAGICS`.
        start: of the container in bytes.
        end: of the file, or of what is known to belong to it.

    Returns:
        One part, or several where MPEG audio in it has them, and the position behind the container.
    """
    magic = read_at(file, start, 4)
    layout = _LAYOUTS.get(magic)
    audio = _audio_chunk(file, start, end, layout) if layout else FLAT[magic](file, start)
    if audio is None:
        return [Part(start, end)], end
    audio_end, container_end = _ends(file, audio, end, layout)
    whole_frames = audio_end - (audio_end - audio.start - audio.before) % max(1, audio.frame)
    part = Part(start, audio_end if audio.to_the_end else container_end, audio_end=whole_frames)
    part = _mended(file, start, audio, audio_end - audio.start, part)
    frames = mp3_parts(file, audio.start, audio_end) if audio.is_mpeg else []
    if frames:
        return [replace(frames[0], counted=part.counted), *frames[1:]], container_end
    return [part], container_end


def _audio_chunk(file: BinaryIO, start: int, end: int, layout: _Layout) -> Claim | None:
    """The first chunk of samples, in the format told before it."""
    position = start + layout.first
    wide: tuple[int, int] | None = None
    frame, is_mpeg = 0, False
    while position < end:
        name, size = _chunk(file, position, layout)
        content = position + layout.header
        if name in layout.audio:
            place = position + layout.name, layout.width
            if wide and size == 2**32 - 1:
                size, place = wide[1], (wide[0], 8)
            before, counted = layout.audio[name], layout.header if layout.counts_header else 0
            return Claim(
                content, size, *place, layout.order, before, counted, frame, is_mpeg, layout.to_the_end
            )
        if name == b"ds64":
            wide = content + 8, int.from_bytes(read_at(file, content + 8, 8), "little")
        if name == b"fmt ":
            codec, frame = (int.from_bytes(read_at(file, content + at, 2), layout.order) for at in (0, 12))
            is_mpeg = codec in _MPEG_IN_RIFF
        if name == b"COMM":
            channels, bits = (int.from_bytes(read_at(file, content + at, 2), "big") for at in (0, 6))
            frame = channels * -(-bits // 8)
            if read_at(file, content + 18, 4) == b"ima4":
                frame = channels * _IMA4_BLOCK
        if name == b"desc":
            frame = int.from_bytes(read_at(file, content + 16, 4), "big")
        position = content + size + -size % layout.align
    return None


def _chunk(file: BinaryIO, position: int, layout: _Layout) -> tuple[bytes, int]:
    """Four bytes of a chunk's name, and the size of its content."""
    header = read_at(file, position, layout.header)
    size = int.from_bytes(header[layout.name :], layout.order)
    return header[:4], max(0, size - layout.header) if layout.counts_header else size


def _ends(file: BinaryIO, audio: Claim, end: int, layout: _Layout | None) -> tuple[int, int]:
    """The ends of the samples and of their container.

    If the header is right, or right but for multiples of 4 GiB, which 32 bits do not count, chunks, tags or
    another recording go on from there. Else all is audio up to the end of the file, or to chunks there.

    Padding counts as such where it is a zero byte: libsndfile pads CAF, whose chunks need none.
    """
    for counted_end in range(audio.start + audio.size, end + 1, 2**32):
        pad = -audio.size % max(2, layout.align) if layout and read_at(file, counted_end, 1) == b"\0" else 0
        for position in sorted({counted_end, counted_end + pad}):
            broken = (counted_end - audio.start - audio.before) % max(1, audio.frame) != 0
            container_end = _end_of_chunks(file, position, end, layout)
            if container_end is not None and not (broken and position >= end):
                return position if broken else counted_end, container_end
    return _trailing_chunks(file, audio.start, end, layout), end


def _trailing_chunks(file: BinaryIO, start: int, end: int, layout: _Layout | None) -> int:
    """The position of known, complete chunks before the end, or ``end``."""
    if layout is None:
        return end
    start = max(start, end - _SEARCHED)
    for found in layout.trailing.finditer(read_at(file, start, end - start)):
        if _end_of_chunks(file, start + found.start(), end, layout, complete=True) is not None:
            return start + found.start()
    return end


def _end_of_chunks(
    file: BinaryIO, position: int, end: int, layout: _Layout | None, *, complete: bool = False
) -> int | None:
    """The end of chunks and tags, at the file's or recording's end.

    None if something else follows.
    """
    reachable = end + (layout.align - 1 if layout else 0)  # the last chunk may lack its pad bytes
    while position < end:
        beginning = read_at(file, position, 16)
        if beginning[:4] in RECORDINGS or begins_stream(file, position, end):
            return position
        size = tag_size(beginning)
        if not size and layout and layout.names.match(beginning):
            size = layout.header + _chunk(file, position, layout)[1]
            size += -size % layout.align
            if position + size > reachable and layout.trailing.match(beginning) and not complete:
                return end
        if not size or position + size > reachable:
            return None
        position += size
    return end


def _mended(file: BinaryIO, start: int, audio: Claim, there: int, part: Part) -> Part:
    """The part with its true size (bytes) in the header, if necessary."""
    varies = audio.frame == 0 and there < audio.size and not audio.is_open
    if there == audio.size or there <= 0 or varies:
        return replace(part, counted=Fraction(1))
    counted = None
    if not audio.is_open:
        frames = [max(0, size - audio.before) // max(1, audio.frame) for size in (audio.size, there)]
        counted = Fraction(frames[0], max(1, frames[1]))
    if audio.size_at is None:
        return replace(part, counted=counted)
    header = bytearray(read_at(file, start, audio.start - start))
    if there + audio.header < 256**audio.width:
        at = audio.size_at - start
        header[at : at + audio.width] = (there + audio.header).to_bytes(audio.width, audio.order)
    elif header[:4] == b"RIFF":
        header = _rf64(header, there)
    return replace(part, start=audio.start, header=bytes(header), counted=counted)


def _rf64(header: bytearray, size: int) -> bytearray:
    """A RIFF header for sizes beyond 32 bits (EBU Tech 3306)."""
    wide = b"".join(count.to_bytes(8, "little") for count in (len(header) + 28 + size, size, 0)) + bytes(4)
    chunk = b"ds64" + len(wide).to_bytes(4, "little") + wide
    unknown = b"\xff" * 4
    return bytearray(b"RF64" + unknown + header[8:12] + chunk + header[12:-4] + unknown)
