"""A compiled model in another format than ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.artifact.writing import write_atomically, write_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
    from onnx_demucs_compiler.report import Report


@dataclass(frozen=True)
class EmittedModel:
    """A compiled model in another format.

    Attributes:
        format: its name, which is the suffix of its file.
        content: of the file, or where it is a folder of the files in it by their paths.
        metadata: what it says of itself.
        report: how it came about.
    """

    format: str
    content: bytes | Mapping[str, bytes]
    metadata: ArtifactMetadata
    report: Report

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model, replacing an existing one once complete.

        Raises:
            CompilerError: it cannot be written.
        """
        target = Path(path)
        if isinstance(self.content, bytes):
            write_atomically(target, self.content)
        else:
            write_folder(target, self.content)
        return target


def size_of(content: bytes | Mapping[str, bytes]) -> int:
    """The size of a file, or of all files of a folder."""
    return len(content) if isinstance(content, bytes) else sum(map(len, content.values()))
