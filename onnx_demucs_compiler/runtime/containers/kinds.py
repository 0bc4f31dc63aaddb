"""Files that libsndfile cannot read, named by their first bytes."""

from __future__ import annotations

import re
import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

FOREIGN = (
    (rb"....ftyp(M4A|M4B|M4P)", "an MPEG-4 audio file (M4A: AAC or ALAC)"),
    (rb"....ftypqt", "a QuickTime movie"),
    (rb"....(ftyp|moov|mdat|wide|free|skip)", "an MPEG-4 file (MP4)"),
    (rb"\x1a\x45\xdf\xa3.{0,60}webm", "a WebM file"),
    (rb"\x1a\x45\xdf\xa3", "a Matroska file (MKV or MKA)"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "an AAC stream (ADTS)"),
    (rb"ADIF", "an AAC stream (ADIF)"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file (WMA or WMV)"),
    (rb"RIFF....AVI ", "an AVI file"),
    (rb"FLV\x01", "a Flash video"),
    (rb"\x0b\x77", "an AC-3 stream"),
    (rb"\x7f\xfe\x80\x01", "a DTS stream"),
    (rb"MAC ", "a Monkey's Audio file (APE)"),
    (rb"wvpk", "a WavPack file"),
    (rb"MPCK|MP\+", "a Musepack file"),
    (rb"TTA[12]", "a True Audio file (TTA)"),
    (rb"tBaK", "a TAK file"),
    (rb"ajkg", "a Shorten file"),
    (rb"DSD |FRM8", "a DSD recording (DSF or DFF)"),
    (rb"#!AMR", "an AMR recording"),
    (rb"\.RMF", "a RealMedia file"),
    (rb"\x00\x00\x01[\xb3\xba]", "an MPEG video"),
    (rb"\x47.{187}\x47", "an MPEG transport stream"),
    (rb"BW64", "a BW64 file"),
)
"""Patterns of the first bytes, and what such a file is: audio or video that FFmpeg may read."""

NO_AUDIO = (
    (rb"(?i)\s*<(!doctype html|html|head|body|script)", "an HTML page, as a download that failed leaves"),
    (rb"\s*<(\?xml|svg|!doctype)", "an XML document"),
    (rb"\x1f\x8b", "compressed by gzip: unpack it first"),
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive: unpack it first"),
    (
        rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|BZh[1-9]|\xfd7zXZ\x00|\x28\xb5\x2f\xfd",
        "an archive: unpack it first",
    ),
    (rb"%PDF-", "a PDF document"),
    (rb"\xff\xd8\xff", "a JPEG picture"),
    (rb"\x89PNG", "a PNG picture"),
    (rb"GIF8[79]a", "a GIF picture"),
    (rb"RIFF....WEBP", "a WebP picture"),
    (rb"MThd", "a MIDI file: notes, and no sound"),
    (rb"#EXTM3U|\[playlist\]", "a playlist, which only names songs"),
    (rb"\x7fELF|MZ", "a program"),
    (rb"\s*[\[{]\s*[\"\]}]", "JSON text"),
    (rb"version https://git-lfs", "a Git LFS pointer: fetch the file itself"),
)
"""Patterns of the first bytes, and what such a file is: nothing that converts to audio."""

BEGINNING = 4096
"""The bytes that the patterns are tried on."""


def kind_without_audio(beginning: bytes) -> str | None:
    """Describe a file that holds no audio; None for any other.

    Args:
        beginning: its first :data:`BEGINNING` bytes, behind an ID3v2 tag if it has one.
    """
    return _first_match(NO_AUDIO, beginning)


def foreign_kind(beginning: bytes) -> str | None:
    """Describe audio that libsndfile does not read; None for anything else.

    Args:
        beginning: as for :func:`kind_without_audio`.
    """
    return _first_match(FOREIGN, beginning)


def _first_match(patterns: Iterable[tuple[bytes, str]], beginning: bytes) -> str | None:
    return next((kind for pattern, kind in patterns if re.match(pattern, beginning, re.DOTALL)), None)


def conversion(name: str) -> str:
    """The shell command that converts a file to WAV or FLAC."""
    suffix = ".flac" if PurePath(name).suffix == ".wav" else ".wav"
    return f"ffmpeg -i {shlex.quote(name)} {shlex.quote(PurePath(name).stem + suffix)}"
