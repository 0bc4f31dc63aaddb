"""What runs a segment: PyTorch, or a graph in one of several runtimes, each in a process of its own.

``python benchmarks/entrants.py KIND PATH-OR-MODEL MIX.npy STEMS.npy`` runs ``MIX`` once for each line on
stdin and answers with the seconds that took and the peak memory so far in MB; the first stems go to
``STEMS``. PyTorch is imported for PyTorch alone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from benchmark_memory import peak_mb

from onnx_demucs_compiler.runtime.session import create_session, physical_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[np.ndarray], np.ndarray]
    """``mix [B, C, samples]`` to ``stems [B, S, C, samples]``, float32."""


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


class Entrant:
    """A process that runs segments when told to."""

    def __init__(self, kind: str, source: str, mix: Path, stems: Path) -> None:
        """Open ``source``; ``stems`` is written by the first run."""
        command = [sys.executable, __file__, kind, source, str(mix), str(stems)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.stems = stems

    def run(self) -> tuple[float, int]:
        """Seconds that a segment took, and the peak memory of the process so far in MB."""
        assert self.process.stdin is not None, "it is a pipe"
        assert self.process.stdout is not None, "it is a pipe"
        print(file=self.process.stdin, flush=True)
        seconds, megabytes = self.process.stdout.readline().split()
        return float(seconds), int(megabytes)

    def close(self) -> None:
        """Let the process end."""
        self.process.communicate()


def main() -> None:
    """Run a segment for each line on stdin."""
    kind, source, mix_path, stems_path = sys.argv[1:]
    run, mix = KINDS[kind](source), np.load(mix_path)
    for number, _ in enumerate(sys.stdin):
        start = perf_counter()
        stems = run(mix)
        print(perf_counter() - start, peak_mb(), flush=True)
        if number == 0:
            np.save(stems_path, stems)


if __name__ == "__main__":
    main()
