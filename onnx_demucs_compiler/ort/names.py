"""What files for reduced builds of ONNX Runtime are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def ort_path(path: Path) -> Path:
    """Where the ORT-format model of an ``.onnx`` file goes."""
    return path.with_suffix(".ort")


def config_path(path: Path) -> Path:
    """Where its reduced-operator config goes, under the name that ort-builder and ONNX Runtime's tool use."""
    return path.with_suffix(".required_operators_and_types.config")
