"""Tags that players lay before and behind a recording, whatever its container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.runtime.containers.part import read_at

if TYPE_CHECKING:
    from typing import BinaryIO


def tag_size(beginning: bytes) -> int:
    """The size of an ID3v2, APEv2 or ID3v1 tag here, or 0.

    Args:
        beginning: the first 16 bytes of it, or more.
    """
    if beginning[:3] == b"ID3" and len(beginning) >= 10 and not any(byte & 0x80 for byte in beginning[6:10]):
        size = int.from_bytes(bytes(beginning[6:10]), "big")
        size = (size & 0x7F) | (size >> 1 & 0x3F80) | (size >> 2 & 0x1FC000) | (size >> 3 & 0xFE00000)
        return 10 + size + (10 if beginning[5] & 0x10 else 0)
    if beginning[:8] == b"APETAGEX" and len(beginning) >= 16:
        return 32 + int.from_bytes(beginning[12:16], "little")
    return 128 if beginning[:3] == b"TAG" else 0


def without_tags(file: BinaryIO, start: int, end: int) -> int:
    """The end of a file without its trailing ID3v1 and APEv2 tags.

    Args:
        file: any.
        start: a position that the tags do not reach, in bytes.
        end: of the file in bytes.
    """
    if read_at(file, max(start, end - 128), 3) == b"TAG":
        end -= 128
    footer = read_at(file, max(start, end - 32), 32)
    if footer[:8] == b"APETAGEX":
        has_header = footer[23] >> 7
        end -= int.from_bytes(footer[12:16], "little") + 32 * has_header
    return max(start, end)
