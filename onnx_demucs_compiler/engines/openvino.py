"""OpenVINO.

On processors with bfloat16 units it computes in that unless told otherwise.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.engines.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from onnx_demucs_compiler.engines.engine import Arrays, Outputs, Run, Task

    Shapes = dict[str, list[int | None]]
    """By name, in order; sizes that stay open are None."""

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32"}
UNPINNED = {"ENABLE_CPU_PINNING": "NO"}
"""Pinned threads of every process would share the first cores."""

TELEMETRY = "openvino_telemetry"
SECTION = "framework"
"""The place of an ONNX file's metadata among OpenVINO's own."""


class OpenVinoModel:
    """A file open on the CPU.

    Attributes:
        inputs: shapes by name.
        outputs: likewise.
        metadata: of the file, by key.
    """

    def __init__(self, path: Path, threads: int, cache: Path | None = None) -> None:
        """Read and compile a file.

        Args:
            path: the ``.onnx`` file.
            threads: how many compute.
            cache: a folder in which OpenVINO keeps compiled models by their content; None for no cache.

        Raises:
            ImportError: OpenVINO is not installed.
            RuntimeError: it refuses the file.
        """
        with without_telemetry():
            import openvino

        core = openvino.Core()
        model = core.read_model(str(path))
        info = model.get_rt_info()
        self.metadata = (
            {key: str(told.value) for key, told in info[SECTION].items()} if SECTION in info else {}
        )
        kept = {} if cache is None else {"CACHE_DIR": str(cache)}
        options = SETTINGS | UNPINNED | kept | {"INFERENCE_NUM_THREADS": str(threads)}
        compiled = core.compile_model(model, "CPU", options)
        self.inputs, self.outputs = _shapes(compiled.inputs), _shapes(compiled.outputs)
        self._request = compiled.create_infer_request()

    def run(self, feeds: Arrays, outputs: Sequence[str]) -> Outputs:
        """The outputs of these names, of inputs by name.

        Raises:
            RuntimeError: OpenVINO fails.
        """
        results = self._request.infer(dict(feeds))
        return [results[name] for name in outputs]


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Hide the package by which OpenVINO tells its maker of every import.

    It does without where that is not installed.
    """
    before = sys.modules.get(TELEMETRY)
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[TELEMETRY]
        if before is not None:
            sys.modules[TELEMETRY] = before


def open_model(task: Task) -> Run:
    """Open a file on the CPU."""
    model = OpenVinoModel(task.model, task.threads)
    return lambda feeds: model.run(feeds, task.outputs)


def _shapes(ports: Sequence[Any]) -> Shapes:
    return {
        port.get_any_name(): [
            None if size.is_dynamic else size.get_length() for size in port.get_partial_shape()
        ]
        for port in ports
    }


ENGINE = Engine("openvino", ("openvino",), ("openvino==2026.4.1",), open_model, SETTINGS)
