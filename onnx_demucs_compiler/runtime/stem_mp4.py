"""Stems as one ``.stem.mp4`` for DJ software: Native Instruments' Stems.

Five AAC tracks in an MPEG-4 file, the mix first and alone enabled, so that players which know nothing of
stems play it, and a ``stem`` box in ``moov/udta`` with names and colours as JSON (Native Instruments, Stems
File Specification).
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.runtime.compressed import encode_tracks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from onnx_demucs_compiler.runtime.encoding import Encoding, RawAudio
    from onnx_demucs_compiler.runtime.tags import Tags

STEMS = 4
COLOURS = ("#009E73", "#D55E00", "#CC79A7", "#56B4E9")
"""Of the stems: four that colour-blind readers tell apart (Okabe and Ito)."""

NO_EFFECTS = {
    "compressor": {
        "enabled": False, "ratio": 1, "output_gain": 0, "input_gain": 0, "threshold": 0, "attack": 0.003,
        "release": 0.3, "hp_cutoff": 20, "dry_wet": 100,
    },
    "limiter": {"enabled": False, "threshold": 0, "ceiling": 0, "release": 0.05},
}  # fmt: skip
"""What a player is to do to the sum of the stems."""


def check_stems(sources: Sequence[str], two_stems: str | None) -> None:
    """Fail if a file of stems cannot hold what is asked for.

    Raises:
        UsageError: there are not four.
    """
    if two_stems is not None:
        raise UsageError("stem.mp4 holds four stems; leave out --two-stems, or write wav")
    if len(sources) != STEMS:
        raise UsageError(
            f"stem.mp4 holds four stems, and this model has {len(sources)} ({', '.join(sources)}); write wav"
        )


def encode_stems(
    sink: BinaryIO,
    mix: RawAudio,
    stems: Sequence[RawAudio],
    names: Sequence[str],
    rate: int,
    encoding: Encoding,
    tags: Tags,
) -> None:
    """Write a mix and its stems as one file.

    One gain goes over all of them where any would clip, so that the stems still add up to the mix.

    Args:
        sink: to write to, to read from and to seek in.
        mix: of one or two channels, as are the stems.
        stems: four of them, as long as the mix.
        names: of the stems.
        rate: in Hz.
        encoding: of ``stem.mp4``.
        tags: of the file.

    Raises:
        OSError: the disk is full.
    """
    assert encoding.codec is not None
    peak = max(audio.peak for audio in (mix, *stems))
    tracks = [(encoding.prevent_clip(block, peak) for block in audio.blocks()) for audio in (mix, *stems)]
    encode_tracks(sink, encoding.codec, tracks, rate, bit_rate=encoding.bit_rate, tags=tags)
    add_stem_box(sink, names)


def stem_box(names: Sequence[str]) -> bytes:
    """The ``stem`` box: size, type, JSON."""
    described = [
        {"name": name.capitalize(), "color": colour} for name, colour in zip(names, COLOURS, strict=True)
    ]
    content = json.dumps({"mastering_dsp": NO_EFFECTS, "version": 1, "stems": described}).encode()
    return (8 + len(content)).to_bytes(4, "big") + b"stem" + content


def add_stem_box(file: BinaryIO, names: Sequence[str]) -> None:
    """Put a ``stem`` box into ``moov/udta`` of an MPEG-4 file.

    ``moov`` is the file's last box, as FFmpeg leaves it, so that no sample moves.
    """
    start, end = _find(file, b"moov", 0, file.seek(0, os.SEEK_END))
    file.seek(start)
    moov = bytearray(file.read(end - start))
    position, users = 8, len(moov)
    while position < len(moov):
        if moov[position + 4 : position + 8] == b"udta":
            users = position
        position += int.from_bytes(moov[position : position + 4], "big")
    udta = moov[users:] or bytearray(b"\0\0\0\x08udta")
    whole = _sized(moov[:users] + _sized(udta + stem_box(names)))
    file.seek(start)
    file.write(whole)


def _sized(box: bytearray) -> bytearray:
    """A box whose first four bytes count its own."""
    box[:4] = len(box).to_bytes(4, "big")
    return box


def _find(file: BinaryIO, kind: bytes, position: int, end: int) -> tuple[int, int]:
    """Start and end of a box among its siblings (ISO/IEC 14496-12, 4.2)."""
    while position < end:
        file.seek(position)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if header[4:8] == kind:
            return position, position + size
        position += size or end - position
    raise AssertionError(f"no {kind!r} in what FFmpeg wrote")
