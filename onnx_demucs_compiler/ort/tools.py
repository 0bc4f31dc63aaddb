"""The one door to ONNX Runtime's own tools for ORT-format models."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def _logging_left_alone() -> Iterator[None]:
    """Undo what the tools do to logging when they are imported."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    try:
        yield
    finally:
        root.handlers[:] = handlers
        logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)


with _logging_left_alone():
    from onnxruntime.tools.ort_format_model import create_config_from_models
    from onnxruntime.tools.ort_format_model.types import FbsTypeInfo
    from onnxruntime.tools.reduced_build_config_parser import parse_config

    # The first of the tools puts it where Python finds it.
    from ort_flatbuffers_py import fbs  # isort: skip

__all__ = ["FbsTypeInfo", "create_config_from_models", "fbs", "items", "parse_config"]


def items(table: Any, vector: str) -> Iterator[Any]:
    """The entries of a flat buffer's vector, by the name in ``fbs``."""
    entry, length = getattr(table, vector), getattr(table, f"{vector}Length")()
    return (entry(index) for index in range(length))
