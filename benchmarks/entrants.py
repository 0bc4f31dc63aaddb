"""What runs a segment: PyTorch, or a graph in one of several runtimes.

``python benchmarks/entrants.py KIND PATH-OR-MODEL`` runs five segments in this process and prints its peak
memory in MB. PyTorch is imported for PyTorch alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmark_memory import peak_mb

from onnx_demucs_compiler.runtime.session import create_session, physical_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[np.ndarray], np.ndarray]
    """``mix [B, C, samples]`` to ``stems [B, S, C, samples]``, float32."""

SEGMENTS = 5
SHAPE = (1, 2, 343980)


def eager(model: str) -> Run:
    """The model in PyTorch."""
    import torch

    from onnx_demucs_compiler.loading import load_model

    module = load_model(model).module
    torch.set_num_threads(physical_cores())

    def run(mix: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            stems: np.ndarray = module(torch.from_numpy(mix)).numpy()
        return stems

    return run


def session(path: str) -> Run:
    """A graph in the session that ``separate`` uses."""
    opened = create_session(Path(path))
    return lambda mix: opened.run(["stems"], {"mix": mix})[0]


def default_session(path: str) -> Run:
    """A graph in a session as ONNX Runtime makes it where no options are set."""
    import onnxruntime

    opened = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda mix: opened.run(["stems"], {"mix": mix})[0]


def openvino(path: str) -> Run:
    """A graph read by OpenVINO, in float32."""
    import openvino as ov

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": physical_cores()}
    compiled = ov.Core().compile_model(path, "CPU", settings)
    return lambda mix: compiled({"mix": mix})["stems"]


KINDS = {"eager": eager, "session": session, "default": default_session, "openvino": openvino}


def main() -> None:
    """Run five segments and print the peak memory."""
    kind, source = sys.argv[1:]
    run = KINDS[kind](source)
    for _ in range(SEGMENTS):
        run(np.zeros(SHAPE, np.float32))
    print(peak_mb())


if __name__ == "__main__":
    main()
