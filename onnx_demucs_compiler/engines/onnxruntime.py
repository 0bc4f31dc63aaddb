"""ONNX Runtime itself, under the options of ``separate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.engines.engine import Engine

if TYPE_CHECKING:
    from onnx_demucs_compiler.engines.engine import Run, Task


def open_model(task: Task) -> Run:
    """Open a file on the CPU."""
    from onnx_demucs_compiler.runtime.session import create_session

    session = create_session(task.model, task.threads, flush=True)
    return lambda feeds: session.run(None, dict(feeds))


ENGINE = Engine("onnxruntime", ("onnxruntime",), ("onnxruntime",), open_model)
