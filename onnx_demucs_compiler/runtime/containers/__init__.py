"""Containers of audio: the recordings in a file, whatever its headers count.

libsndfile reads the first recording in a file, and as many of its samples as the header counts. Here every
recording is found, and where its header is wrong a true one takes its place.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from onnx_demucs_compiler.runtime.containers.chunked import MAGICS, RECORDINGS, chunked_parts
from onnx_demucs_compiler.runtime.containers.flac import flac_parts
from onnx_demucs_compiler.runtime.containers.mp3 import begins_stream, mp3_parts
from onnx_demucs_compiler.runtime.containers.ogg import ogg_parts
from onnx_demucs_compiler.runtime.containers.part import Part, read_at
from onnx_demucs_compiler.runtime.containers.tags import tag_size, without_tags

if TYPE_CHECKING:
    from typing import BinaryIO


def find_parts(file: BinaryIO, start: int = 0) -> list[Part]:
    """Find every recording in a file, in their order; at least one.

    Args:
        file: of any kind but a bare stream of MPEG audio. One whose magic number is not known is one part.
        start: where they begin in bytes, tags not counted.
    """
    start = first_byte(file, start)
    end = without_tags(file, start, file.seek(0, os.SEEK_END))
    parts: list[Part] = []
    while start < end or not parts:
        found = stream_parts(file, start, end) if parts and begins_stream(file, start, end) else []
        found, start = (found, end) if found else _parts_at(file, start, end)
        parts += found
    return parts


def stream_parts(file: BinaryIO, start: int, end: int) -> list[Part]:
    """Find the recordings in a bare stream of MPEG audio.

    Containers behind it are searched too. There are no recordings where there are no frames.
    """
    parts = mp3_parts(file, start, end)
    behind = first_byte(file, parts[-1].end) if parts else end
    return parts + find_parts(file, behind) if read_at(file, behind, 4) in RECORDINGS else parts


def first_byte(file: BinaryIO, position: int = 0) -> int:
    """The position behind the tags that players put first."""
    while size := tag_size(read_at(file, position, 16)):
        position += size
    return position


def _parts_at(file: BinaryIO, start: int, end: int) -> tuple[list[Part], int]:
    """The recordings of a container, and the position behind it."""
    magic = read_at(file, start, 4)
    if magic in MAGICS:
        return chunked_parts(file, start, end)
    if magic == b"fLaC":
        return flac_parts(file, start, end), end
    if magic == b"OggS":
        parts, behind = ogg_parts(file, start, end)
        if read_at(file, behind, 4) in RECORDINGS:
            return parts, behind
        return parts + stream_parts(file, behind, end), end
    return [Part(start, end)], end
