"""Checksums beside files, in the format of ``sha256sum``."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def checksum_path(path: Path) -> Path:
    """The checksum's path for a file: ``X.onnx.sha256`` beside ``X.onnx``."""
    return path.with_name(f"{path.name}.sha256")


def checksum_line(name: str, data: bytes) -> str:
    """The line that ``sha256sum --check`` takes in the file's folder.

    Args:
        name: the file's name, without folders.
        data: its bytes.
    """
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == name else "\\"  # sha256sum's own sign of a name with such characters
    return f"{mark}{hashlib.sha256(data).hexdigest()}  {escaped}\n"
