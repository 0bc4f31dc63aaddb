"""Opening a model: onnxruntime's session with our defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxruntime

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.cores import usable_cores

if TYPE_CHECKING:
    from pathlib import Path

LOG_FATAL_ONLY = 4
"""Errors are raised as well, and would be told twice."""


def session_options(threads: int | None = None) -> onnxruntime.SessionOptions:
    """Run one operator at a time, each on every usable core.

    Memory patterns are off because they allocate the whole plan of the first run once more for the second.
    Hyperthreads are left out because two of them share the arithmetic units of one core.

    Args:
        threads: how many an operator may use; those of :func:`usable_cores` when None.
    """
    options = onnxruntime.SessionOptions()
    options.enable_mem_pattern = False
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or usable_cores()
    options.log_severity_level = LOG_FATAL_ONLY
    return options


def create_session(path: Path, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Open a model on the CPU with :func:`session_options`.

    Args:
        path: an ``.onnx`` or ``.ort`` file.
        threads: how many an operator may use; those of :func:`usable_cores` when None.

    Raises:
        CompilerError: there is no such file, or onnxruntime cannot load it.
    """
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    options = session_options(threads)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no narrower base
        reason = in_one_line(error)
        raise CompilerError(f"{path}: onnxruntime cannot load it as a model ({reason})") from error


def in_one_line(error: Exception) -> str:
    """The message of an error, which onnxruntime may spread over several lines."""
    return " ".join(str(error).split())
