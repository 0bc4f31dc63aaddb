"""Models by hand, each with one thing that a contract looks at."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def model_of(
    *nodes: onnx.NodeProto,
    opset: int = 18,
    ir: int = 8,
    kind: int = FLOAT,
    shape: Any = (1, 8),
    **opsets: int,
) -> onnx.ModelProto:
    """A graph from ``a`` to ``b`` of some nodes; ``opsets`` are of further domains, dots as underscores."""
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("Relu", ["a"], ["b"], name="relu")],
        "graph",
        [helper.make_tensor_value_info("a", kind, shape)],
        [helper.make_tensor_value_info("b", kind, shape)],
        [numpy_helper.from_array(np.ones(8, np.float32), "weight")],
    )
    imports = {"": opset, **{name.replace("_", "."): version for name, version in opsets.items()}}
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*item) for item in imports.items()], ir_version=ir
    )


def node(op: str, inputs: Any = ("a",), outputs: Any = ("b",), domain: str = "", **attributes: Any) -> Any:
    return helper.make_node(op, list(inputs), list(outputs), name=f"the {op}", domain=domain, **attributes)


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def save_as_ort(source: Path, path: Path) -> Path:
    """What ONNX Runtime's converter does, at its lowest level."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return path
