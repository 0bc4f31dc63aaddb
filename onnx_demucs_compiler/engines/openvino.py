"""OpenVINO.

On processors with bfloat16 units it computes in that unless told otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.engines.engine import Engine

if TYPE_CHECKING:
    from onnx_demucs_compiler.engines.engine import Arrays, Outputs, Run, Task

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32"}


def open_model(task: Task) -> Run:
    """Open a file on the CPU."""
    import openvino

    core = openvino.Core()
    threads = {"INFERENCE_NUM_THREADS": str(task.threads)}
    compiled = core.compile_model(str(task.model), "CPU", SETTINGS | threads)
    request = compiled.create_infer_request()
    ports = [compiled.output(name) for name in task.outputs]

    def run(feeds: Arrays) -> Outputs:
        results = request.infer(dict(feeds))
        return [results[port] for port in ports]

    return run


ENGINE = Engine("openvino", ("openvino",), ("openvino==2026.4.1",), open_model, SETTINGS)
