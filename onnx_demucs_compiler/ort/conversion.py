"""Models in ORT format, which builds of ONNX Runtime without ONNX read."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.ort.canonical import canonical
from onnx_demucs_compiler.runtime.session import LOG_FATAL_ONLY, in_one_line

if TYPE_CHECKING:
    from collections.abc import Mapping


LEVEL = "disable"
"""ONNX Runtime's name for the optimisation level: the graph stays what was compiled and verified.

The others compute beforehand what depends on weights alone, and store that.
"""

STYLE = "Fixed"
"""ONNX Runtime's name for models that hold no optimisations to be replayed where they are loaded."""

LEVELS = {
    "disable": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}
"""Without ``layout`` and ``all``, whose results are for one kind of processor."""

_IDENTIFIER = slice(4, 8)
"""Where a flatbuffer says what it holds."""


def ort_format(model: bytes | Path, level: str = LEVEL, entries: Mapping[str, str] | None = None) -> bytes:
    """Convert an ONNX model, in the way of ``onnxruntime.tools.convert_onnx_models_to_ort``.

    Args:
        model: content of an ``.onnx`` file, or its path, beside which weights in other files are looked for.
        level: how far ONNX Runtime optimises the graph first, one of :data:`LEVELS`.
        entries: of the session's configuration.

    Returns:
        What goes into an ``.ort`` file.

    Raises:
        CompilerError: ONNX Runtime cannot load the model.
    """
    with tempfile.TemporaryDirectory(prefix="onnx-demucs-ort-") as folder:
        converted = Path(folder, "model.ort")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = LEVELS[level]
        options.optimized_model_filepath = str(converted)
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.add_session_config_entry("session.save_model_format", "ORT")
        for key, value in (entries or {}).items():
            options.add_session_config_entry(key, value)
        _open(model, options)
        return canonical(converted.read_bytes())


def as_ort_format(path: Path) -> bytes:
    """The content of an ``.ort`` file, or :func:`ort_format` of an ``.onnx`` file.

    Raises:
        CompilerError: there is no such file, or it is neither.
    """
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    content = path.read_bytes()
    try:
        if content[_IDENTIFIER] != b"ORTM":
            return ort_format(path)
        _open(content, onnxruntime.SessionOptions())
    except CompilerError as error:
        raise CompilerError(f"{path}: {error}") from error
    return content


def _open(model: bytes | Path, options: onnxruntime.SessionOptions) -> None:
    options.log_severity_level = LOG_FATAL_ONLY
    try:
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no narrower base
        raise CompilerError(f"onnxruntime cannot load it as a model ({in_one_line(error)})") from error
