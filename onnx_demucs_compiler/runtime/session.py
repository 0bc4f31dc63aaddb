"""Opening a model: onnxruntime's session with our defaults."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import onnxruntime

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.cores import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LOG_FATAL_ONLY = 4
"""Errors are raised as well, and would be told twice."""


def session_options(threads: int | None = None, *, flush: bool = False) -> onnxruntime.SessionOptions:
    """Run one operator at a time, each on every usable core.

    Memory patterns are off because they allocate the whole plan of the first run once more for the second.
    Hyperthreads are left out because two of them share the arithmetic units of one core.

    Args:
        threads: how many an operator may use; those of :func:`usable_cores` when None.
        flush: count denormal numbers (below 1.2e-38) as zero, on the session's own threads and on the one
            that opens the first session of the process. The softmax of a trained model's attention makes
            many, and Intel's processors are slow to multiply them (``benchmarks/denormals.py``).
    """
    options = onnxruntime.SessionOptions()
    options.enable_mem_pattern = False
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or usable_cores()
    options.log_severity_level = LOG_FATAL_ONLY
    if flush:
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return options


class OwnThread:
    """A session on a thread of its own, which flushes denormal numbers.

    ONNX Runtime counts them as zero on the thread that opens the first session of a process. Here that is
    never a caller's, whose own arithmetic stays as it is. On Linux a thread starts with the mode of the one
    that starts it; elsewhere, or where the process had a session before, of the threads that compute one
    keeps denormal numbers.

    Attributes:
        session: what was opened.
    """

    def __init__(self, opened: Callable[[], Any]) -> None:
        """Open a session.

        Args:
            opened: makes it, with ``flush`` among its :func:`session_options`.
        """
        self.session = _opener().submit(opened).result()
        self._thread = _opener().submit(_started).result()

    def run(self, feeds: Mapping[str, Any]) -> Sequence[Any]:
        """All outputs of one run."""
        outputs: Sequence[Any] = self._thread.submit(self.session.run, None, feeds).result()
        return outputs


@cache
def _opener() -> ThreadPoolExecutor:
    """The thread that opens sessions and starts the threads that run them."""
    return ThreadPoolExecutor(1, thread_name_prefix="onnx-demucs-open")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_opener.cache_clear)


def _started() -> ThreadPoolExecutor:
    thread = ThreadPoolExecutor(1, thread_name_prefix="onnx-demucs-run")
    thread.submit(int).result()
    return thread


def create_session(
    path: Path, threads: int | None = None, *, flush: bool = False
) -> onnxruntime.InferenceSession:
    """Open a model on the CPU with :func:`session_options`.

    Args:
        path: an ``.onnx`` or ``.ort`` file.
        threads: how many an operator may use; those of :func:`usable_cores` when None.
        flush: count denormal numbers as zero.

    Raises:
        CompilerError: there is no such file, or onnxruntime cannot load it.
    """
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    options = session_options(threads, flush=flush)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no narrower base
        reason = in_one_line(error)
        raise CompilerError(f"{path}: onnxruntime cannot load it as a model ({reason})") from error


def in_one_line(error: Exception) -> str:
    """The message of an error, which onnxruntime may spread over several lines."""
    return " ".join(str(error).split())
