"""A file of one format, open in this process: ``worker.py FORMAT FILE THREADS MIX.npy STEMS.npy``.

It runs once and writes the stems, and then once for every line that comes in. Answers are lines of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[Any], Any]


def onnx(file: str, threads: int) -> Run:
    """ONNX Runtime with the options of ``separate``."""
    import onnxruntime

    from onnx_demucs_compiler.runtime.session import session_options

    session = onnxruntime.InferenceSession(file, session_options(threads), providers=["CPUExecutionProvider"])
    return lambda mix: session.run(None, {"mix": mix})[0]


def pt2(file: str, threads: int) -> Run:
    """PyTorch, operator by operator."""
    import torch

    torch.set_num_threads(threads)
    return _torch(torch.export.load(file).module())


def aoti(file: str, threads: int) -> Run:
    """A library of AOTInductor."""
    import torch

    torch.set_num_threads(threads)
    return _torch(torch._inductor.aoti_load_package(file))


def _torch(model: Run) -> Run:
    import torch
    import torch.utils._pytree as pytree

    def run(mix: Any) -> Any:
        with torch.inference_mode():
            return pytree.tree_leaves(model(torch.from_numpy(mix)))[0].numpy()

    return run


def tflite(file: str, threads: int) -> Run:
    """LiteRT with XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=file, num_threads=threads).get_signature_runner()
    return lambda mix: runner(mix=mix)["stems"]


def pte(file: str, threads: int) -> Run:
    """ExecuTorch with XNNPACK."""
    import torch
    from executorch.extension.pybindings import _C
    from executorch.runtime import Runtime

    _C._unsafe_reset_threadpool(threads)
    method = Runtime.get().load_program(file).load_method("forward")
    return lambda mix: method.execute([torch.from_numpy(mix)])[0].numpy()


def main() -> None:
    """Open, run once, and run when asked."""
    name, file, threads, mix, stems = sys.argv[1:]
    run = {"onnx": onnx, "pt2": pt2, "aoti": aoti, "tflite": tflite, "pte": pte}[name](file, int(threads))
    noise = np.load(mix)
    np.save(Path(stems), run(noise))
    print(json.dumps({}), flush=True)
    for _ in sys.stdin:
        began, began_cpu = perf_counter(), process_time()
        run(noise)
        cost = {"seconds": perf_counter() - began, "cpu_seconds": process_time() - began_cpu}
        print(json.dumps(cost), flush=True)


if __name__ == "__main__":
    main()
