"""tract, an engine in Rust.

Through its Python package it computes on one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.engines.engine import Engine

if TYPE_CHECKING:
    from onnx_demucs_compiler.engines.engine import Run, Task


def open_model(task: Task) -> Run:
    """Open a file with its inputs' shapes fixed."""
    import tract

    model = tract.onnx().load(task.model)
    names = [model.input_name(index) for index in range(model.input_count())]
    for index, name in enumerate(names):
        model.set_input_fact(index, ",".join([*map(str, task.shapes[name]), "f32"]))
    runnable = model.into_model().into_runnable()
    return lambda feeds: [output.to_numpy() for output in runnable.run([feeds[name] for name in names])]


ENGINE = Engine("tract", ("tract",), ("tract==0.23.9", "numpy"), open_model)
