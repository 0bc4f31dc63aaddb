"""The names of files for reduced builds of ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def ort_path(path: Path) -> Path:
    """The path of an ``.onnx`` file's ORT-format model."""
    return path.with_suffix(".ort")


def config_path(path: Path) -> Path:
    """The path of its config, as ONNX Runtime's own tool names it."""
    return path.with_suffix(".required_operators_and_types.config")
