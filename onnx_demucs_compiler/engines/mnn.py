"""MNN.

Its converter replaces GELU by an approximation unless told otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.engines.engine import Engine

if TYPE_CHECKING:
    from onnx_demucs_compiler.engines.engine import Arrays, Outputs, Run, Task

SETTINGS = {"--useGeluApproximation": "0"}


def open_model(task: Task) -> Run:
    """Convert a file, and open what comes of it on the CPU."""
    # The command mnnconvert may call pip and the network; what it wraps does neither.
    import _tools
    import MNN

    options = [part for setting in SETTINGS.items() for part in setting]
    files = ["--modelFile", str(task.model), "--MNNModel", str(task.converted)]
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *files, *options])
    if not task.converted.exists():
        raise RuntimeError("its converter refuses the file")
    settings = {"backend": "CPU", "numThread": task.threads, "precision": "high"}
    manager = MNN.nn.create_runtime_manager((settings,))
    module = MNN.nn.load_module_from_file(
        str(task.converted), list(task.shapes), list(task.outputs), runtime_manager=manager
    )
    layout = MNN.expr.NCHW

    def run(feeds: Arrays) -> Outputs:
        values = [MNN.expr.const(feeds[name].copy(), shape, layout) for name, shape in task.shapes.items()]
        return [MNN.expr.convert(output, layout).read() for output in module.forward(values)]

    return run


ENGINE = Engine("mnn", ("MNN",), ("MNN==3.6.1", "numpy"), open_model, SETTINGS, min_snr_db=75.0)
