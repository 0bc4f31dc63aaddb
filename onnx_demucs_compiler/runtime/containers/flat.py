"""Containers of a header and samples: AU, NIST (SPHERE) and AVR."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from onnx_demucs_compiler.runtime.containers.claim import Claim
from onnx_demucs_compiler.runtime.containers.part import read_at

if TYPE_CHECKING:
    from typing import BinaryIO

    from onnx_demucs_compiler.runtime.containers.claim import Order

_AU_HEADER = 24
_AU_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}
"""Bytes of a sample by an AU file's encoding."""
_AVR_HEADER = 128
_NIST_LINES = 16
"""Bytes of the lines that tell the size of a NIST header."""
_NIST_FIELD = re.compile(rb"^(sample_count|channel_count|sample_n_bytes) -i (\d{1,15})$", re.MULTILINE)


def au_claim(file: BinaryIO, start: int) -> Claim | None:
    """The claim of an AU file's header; None for nonsense."""
    header = read_at(file, start, _AU_HEADER)
    order: Order = "big" if header[:4] == b".snd" else "little"
    offset, size, encoding, _, channels = (
        int.from_bytes(header[at : at + 4], order) for at in range(4, 24, 4)
    )
    if offset < _AU_HEADER:
        return None
    frame = _AU_WIDTHS.get(encoding, 0) * channels
    return Claim(start + offset, size, start + 8, 4, order, frame=frame)


def nist_claim(file: BinaryIO, start: int) -> Claim | None:
    """The claim of a NIST file's header; None without a count."""
    header_size = read_at(file, start, _NIST_LINES)[8:].strip()
    if not header_size.isdigit():
        return None
    header = read_at(file, start, int(header_size)).partition(b"end_head")[0]
    fields = {name: int(value) for name, value in _NIST_FIELD.findall(header)}
    frame = fields.get(b"channel_count", 1) * fields.get(b"sample_n_bytes", 0)
    if not frame or b"sample_count" not in fields:
        return None
    return Claim(start + int(header_size), fields[b"sample_count"] * frame, frame=frame, to_the_end=True)


def avr_claim(file: BinaryIO, start: int) -> Claim:
    """The claim of an AVR file's header."""
    header = read_at(file, start, _AVR_HEADER)
    channels = 2 if any(header[12:14]) else 1
    frame = channels * (int.from_bytes(header[14:16], "big") // 8)
    size = int.from_bytes(header[26:30], "big") * frame
    return Claim(start + _AVR_HEADER, size, frame=frame, to_the_end=True)


FLAT = {b".snd": au_claim, b"dns.": au_claim, b"NIST": nist_claim, b"2BIT": avr_claim}
"""What reads the header of each of these containers, by its first four bytes."""
