"""The change to a file since it was compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.artifact.digest import Change, change
from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
from onnx_demucs_compiler.artifact.reading import load_artifact
from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from pathlib import Path

    from onnx_demucs_compiler.contracts.artifact import Artifact


def change_of(path: Path, artifact: Artifact) -> Change:
    """The change to a file of this compiler, with its external weights."""
    if artifact.format != "onnx":
        return Change(None, "the digest is that of the .onnx file it was converted from")
    try:
        return change(load_artifact(path), ArtifactMetadata.from_props(artifact.metadata))
    except CompilerError as error:
        return Change(None, str(error))
