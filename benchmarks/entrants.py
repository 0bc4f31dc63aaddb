"""Entrants that run a segment, each in a process of its own.

PyTorch, or a graph in one of several runtimes.

``python benchmarks/entrants.py KIND SOURCE MIX.npy STEMS.npy THREADS`` says ``opened``, runs ``MIX`` once
for each line on stdin and answers with the seconds that took, the processor's seconds (user and system) and
the peak memory so far in MB; the first stems go to ``STEMS``. ``SOURCE`` is a file, or a model where the
kind is PyTorch, which is imported for PyTorch alone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, sleep
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from benchmark_memory import peak_mb

from onnx_demucs_compiler.runtime.graph import Graph
from onnx_demucs_compiler.runtime.session import create_session, session_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Run = Callable[[np.ndarray], np.ndarray]
    """``mix [B, C, samples]`` to ``stems [B, S, C, samples]``, float32."""

# Idle threads of ONNX Runtime spin for a while; without a pause they take time from who comes next.
PAUSE = 0.5

WARM_UP = 2
LOADS = 3

OPENED = "opened"
"""What a process says before its first run, so that none runs while others still load."""


def eager(model: str, threads: int) -> Run:
    """The model in PyTorch."""
    from onnx_demucs_compiler.loading import load_model

    return _in_torch(load_model(model).module, threads)


def inductor(model: str, threads: int) -> Run:
    """The model under ``torch.compile``, which needs a C++ compiler."""
    import torch

    from onnx_demucs_compiler.loading import load_model

    return _in_torch(torch.compile(load_model(model).module), threads)


def _in_torch(module: Any, threads: int) -> Run:
    import torch

    torch.set_num_threads(threads)

    def run(mix: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            stems: np.ndarray = module(torch.from_numpy(mix)).numpy()
        return stems

    return run


def session(path: str, threads: int) -> Run:
    """A waveform graph in a session with the options of ``separate``."""
    opened = create_session(Path(path), threads, flush=True)
    return lambda mix: opened.run(["stems"], {"mix": mix})[0]


def with_denormals(path: str, threads: int) -> Run:
    """The same session, but for denormal numbers, which it keeps."""
    opened = create_session(Path(path), threads)
    return lambda mix: opened.run(["stems"], {"mix": mix})[0]


def host(path: str, threads: int) -> Run:
    """A graph of any interface, with the host's STFT in NumPy."""
    return Graph(Path(path), threads).run


def default_session(path: str, threads: int) -> Run:  # noqa: ARG001 - no option is set
    """A graph in a session with ONNX Runtime's default options."""
    import onnxruntime

    opened = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda mix: opened.run(["stems"], {"mix": mix})[0]


def openvino(path: str, threads: int) -> Run:
    """A graph of any interface in OpenVINO, as ``separate --runtime openvino`` opens it."""
    from onnx_demucs_compiler.runtime.openvino import OPENVINO

    return Graph(Path(path), threads, OPENVINO).run


def torch_product(size: str, threads: int) -> Run:
    """A square matrix product in PyTorch's BLAS, whatever the mix."""
    import torch

    torch.set_num_threads(threads)
    matrix = torch.randn(int(size), int(size))
    return lambda _: (matrix @ matrix).numpy()


def ort_product(size: str, threads: int) -> Run:
    """A product with a constant square matrix in ONNX Runtime."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.random.default_rng(0).standard_normal((int(size), int(size)), np.float32)
    left, product = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, matrix.shape) for name in ("left", "product")
    )
    weight = numpy_helper.from_array(matrix, "weight")
    node = helper.make_node("MatMul", ["left", "weight"], ["product"])
    graph = helper.make_graph([node], "product", [left], [product], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    opened = onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(threads), providers=["CPUExecutionProvider"]
    )
    return lambda _: opened.run(["product"], {"left": matrix})[0]


KINDS = {
    "eager": eager,
    "inductor": inductor,
    "session": session,
    "denormals": with_denormals,
    "host": host,
    "default": default_session,
    "openvino": openvino,
    "torch product": torch_product,
    "ort product": ort_product,
}


@dataclass(frozen=True)
class Turn:
    """The seconds, CPU seconds and peak memory in MB of one run.

    CPU seconds are NaN where they are not known.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: int


class Runner(Protocol):
    """Anything that runs segments when told to."""

    def run(self) -> Turn:
        """Run one."""

    def close(self) -> None:
        """Give back what it holds."""


class Entrant:
    """A process that runs segments when told to."""

    def __init__(self, kind: str, source: str, mix: Path, stems: Path, threads: int) -> None:
        """Open ``source`` and wait for it; the first run writes ``stems``."""
        command = [sys.executable, __file__, kind, source, str(mix), str(stems), str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.stems = stems
        if self._answer() != OPENED:
            sys.exit(f"{source} does not open as {kind}")

    def run(self) -> Turn:
        """Run the mix once."""
        assert self.process.stdin is not None, "it is a pipe"
        print(file=self.process.stdin, flush=True)
        seconds, cpu_seconds, megabytes = self._answer().split()
        return Turn(float(seconds), float(cpu_seconds), int(megabytes))

    def close(self) -> None:
        """Let the process end."""
        self.process.communicate()

    def _answer(self) -> str:
        assert self.process.stdout is not None, "it is a pipe"
        return self.process.stdout.readline().strip()


def in_turn(opened: Mapping[str, Runner], rounds: int) -> dict[str, list[Turn]]:
    """Run entrants one after the other, in rounds, and let them end.

    Each round draws its order: a run is a few hundredths slower after some entrants than after others.
    """
    runs: dict[str, list[Turn]] = {name: [] for name in opened}
    order = np.random.default_rng(0)
    for _ in range(rounds):
        for name in order.permutation(list(opened)):
            runs[name].append(opened[name].run())
            sleep(PAUSE)
    for runner in opened.values():
        runner.close()
    return runs


def write_noise(artifact: Path, mix: Path) -> None:
    """Write a segment of noise ``[1, C, N]`` for a waveform artifact, as ``mix``."""
    from onnx_demucs_compiler.checking.verification import artifact_metadata

    metadata = artifact_metadata(artifact)
    shape = 1, metadata.audio_channels, metadata.segment
    np.save(mix, 0.1 * np.random.default_rng(0).standard_normal(shape, np.float32))


def timed(files: dict[str, Path], rounds: int) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Load and run artifacts of one shape in turn, as ``separate`` does.

    Returns:
        For each, medians of its seconds to load and to run and its peak memory; and what it made of noise.
    """
    from onnx_demucs_compiler.runtime.cores import usable_cores

    loads: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(LOADS):
        for name, path in files.items():
            start = perf_counter()
            create_session(path)
            loads[name].append(perf_counter() - start)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_noise(next(iter(files.values())), folder / "mix.npy")
        stems = {name: folder / f"{index}.npy" for index, name in enumerate(files)}
        opened = {
            name: Entrant("session", str(path), folder / "mix.npy", stems[name], usable_cores())
            for name, path in files.items()
        }
        runs = in_turn(opened, rounds + WARM_UP)
        outputs = {name: np.load(path) for name, path in stems.items()}
    figures = {
        name: {
            "load_seconds": round(median(loads[name]), 2),
            "seconds": round(median(turn.seconds for turn in turns[WARM_UP:]), 3),
            "cpu_seconds": round(median(turn.cpu_seconds for turn in turns[WARM_UP:]), 3),
            "peak_rss_mb": max(turn.peak_mb for turn in turns),
        }
        for name, turns in runs.items()
    }
    return figures, outputs


def main() -> None:
    """Run a segment for each line on stdin."""
    kind, source, mix_path, stems_path, threads = sys.argv[1:]
    run, mix = KINDS[kind](source, int(threads)), np.load(mix_path)
    print(OPENED, flush=True)
    for number, _ in enumerate(sys.stdin):
        start, spent = perf_counter(), process_time()
        stems = run(mix)
        print(perf_counter() - start, process_time() - spent, peak_mb(), flush=True)
        if number == 0:
            np.save(stems_path, stems)


if __name__ == "__main__":
    main()
