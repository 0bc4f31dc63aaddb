"""A float32 graph with weights in eight bits, each way that there is, for ``benchmarks/precision.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path

    from numpy.typing import NDArray

LARGE = 4096
STEPS = 127


def kinds(weights: Container[str]) -> dict[str, Callable[[Path, Path], None]]:
    """Each way by its name: from a file to a file.

    Args:
        weights: the initializers that may be quantised.
    """
    return {
        "all weights, Cast and Mul": lambda source, target: _stored(source, target, weights, folded=True),
        "all weights, DequantizeLinear": lambda source, target: _stored(
            source, target, weights, folded=False
        ),
        "products, MatMulInteger": lambda source, target: _dynamic(source, target, weights, "MatMul"),
        "convolutions, ConvInteger": lambda source, target: _dynamic(source, target, weights, "Conv"),
    }


def _dynamic(source: Path, target: Path, weights: Container[str], operator: str) -> None:
    """By ONNX Runtime's own tool; what is multiplied with anything but a stored weight stays as it is."""
    nodes = onnx.load(source).graph.node
    excluded = [node.name for node in nodes if node.op_type == operator and node.input[1] not in weights]
    quantize_dynamic(
        source, target, op_types_to_quantize=[operator], per_channel=True, weight_type=QuantType.QInt8,
        nodes_to_exclude=excluded, extra_options={"MatMulConstBOnly": True},
    )  # fmt: skip


def _stored(source: Path, target: Path, weights: Container[str], *, folded: bool) -> None:
    """Decoded by nodes that a runtime folds when it loads the model, or by those that it keeps."""
    model = onnx.load(source)
    decoders: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    for item in list(model.graph.initializer):
        if item.name not in weights or np.prod(item.dims) < LARGE or len(item.dims) < 2:
            continue
        array = numpy_helper.to_array(item)
        axis = array.ndim - 1 if array.ndim == 2 else 0
        quantised, scale = _quantised(array, axis)
        name, scales, renamed[item.name] = item.name, f"{item.name}.scale", f"{item.name}.float32"
        item.CopyFrom(numpy_helper.from_array(quantised, name))
        model.graph.initializer.append(numpy_helper.from_array(scale if folded else scale.ravel(), scales))
        if folded:
            decoders.append(helper.make_node("Cast", [name], [f"{name}.cast"], to=onnx.TensorProto.FLOAT))
            decoders.append(helper.make_node("Mul", [f"{name}.cast", scales], [renamed[name]]))
        else:
            decoders.append(helper.make_node("DequantizeLinear", [name, scales], [renamed[name]], axis=axis))
    nodes = list(model.graph.node)
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend([*decoders, *nodes])
    onnx.save(model, target)


def _quantised(array: NDArray[Any], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    others = tuple(each for each in range(array.ndim) if each != axis)
    scale = (np.abs(array).max(axis=others, keepdims=True) / STEPS).astype(np.float32)
    return np.rint(array / np.maximum(scale, 1e-30)).astype(np.int8), scale
