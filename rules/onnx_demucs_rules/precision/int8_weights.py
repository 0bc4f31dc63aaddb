"""Weights in eight bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape
from torch import nn

from onnx_demucs_compiler.graph.storage import (
    COMPUTED,
    INT8,
    encode,
    float_initializers,
    insert_before,
    store_array,
)
from onnx_demucs_compiler.graph.weights import is_weight
from onnx_demucs_compiler.rules import Case, Numerics, Refusal, store
from onnx_demucs_rules.precision.examples import Projections, linear
from onnx_demucs_rules.storage.examples import SameTwice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnx_demucs_compiler.options import Options

NAME = "int8-weights"

LARGE = 4096
"""Elements from which on a matrix is worth its scales."""

STEPS = 127

SHAPE, EIGHT = ((2, 3, 64),), {"precision": "int8"}


@store(
    name=NAME,
    precision="int8",
    why="Three quarters of a file are bits that few would hear, and matrix products of bytes are faster.",
    numerics=Numerics(min_snr_db=38),
    tags={"storage"},
    cases=[
        Case("product", linear, SHAPE, options=EIGHT, ops={"MatMulInteger": 1, "MatMul": 0}),
        Case("two-of-one-signal", Projections, SHAPE, options=EIGHT, fires=2,
             ops={"MatMulInteger": 2, "DynamicQuantizeLinear": 1}),
        Case("rows", linear, ((3, 64),), options=EIGHT, ops={"Gemm": 1, "DequantizeLinear": 1}),
        Case("convolution", lambda: nn.Conv1d(16, 64, 5), ((2, 16, 37),), options=EIGHT,
             ops={"Conv": 1, "DequantizeLinear": 1}),
        Case("kept", linear, SHAPE, options=EIGHT | {"keep": ("weight",)}, fires=0,
             because="kept in float16"),
        Case("small", lambda: linear(size=8), ((2, 8),), options=EIGHT, fires=0,
             because="no weight is large"),
        Case("a-table", SameTwice, SHAPE, options=EIGHT, fires=0, because="no weight is large"),
    ],
)  # fmt: skip
def int8_weights(model: ir.Model, options: Options) -> list[ir.Value] | Refusal:
    """``MatMul(x, W)`` → ``MatMulInteger`` of bytes; any other large weight → int8 and ``DequantizeLinear``.

    Each column, or each slice along the axis that loses least, has a scale of its own. What the search for a
    floor keeps (``options.keep``) is left to ``fp16-weights``.
    """
    large = [value for value in float_initializers(model.graph) if _is_large(value)]
    chosen = [value for value in large if value.name not in options.keep]
    products = _Products(model.graph)
    for value in chosen:
        if _only_multiplied_with(value):
            products.store(value)
        else:
            _store(model.graph, value)
    products.multiply()
    if large and not chosen:
        return Refusal(f"all {len(large)} large weights are kept in float16")
    return chosen or Refusal("no weight is large")


def _is_large(value: ir.Value) -> bool:
    sizes = [size for size in value.const_value.shape if size != 1] if value.const_value is not None else []
    return is_weight(value) and len(sizes) > 1 and int(np.prod(sizes)) >= LARGE  # type: ignore[arg-type]


def _only_multiplied_with(value: ir.Value) -> bool:
    """True if a value is only ever a product's right matrix."""
    assert value.const_value is not None, "an initializer has a value"
    uses = value.uses()
    return len(value.const_value.shape) == 2 and all(
        (node.op_type, node.domain, index) == ("MatMul", "", 1) for node, index in uses
    )


class _Products:
    """Matrix products of bytes in the place of those of floats."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.weights: dict[ir.Value, tuple[ir.Value, ir.Value]] = {}
        self.signals: dict[tuple[ir.Value, ir.Graph], tuple[ir.Value, ir.Value, ir.Value]] = {}

    def store(self, weight: ir.Value) -> None:
        """Store a weight as bytes and their scales."""
        assert weight.const_value is not None, "an initializer has a value"
        array, scale = _quantised(weight.const_value.numpy(), 1)
        stored = store_array(self.graph, weight, array, COMPUTED)
        scales = _initializer(self.graph, f"{stored.name}.scale", scale[0])
        self.weights[weight] = stored, scales

    def multiply(self) -> None:
        """Multiply bytes by every such weight, in the graph's order."""
        for node in list(self.graph.all_nodes()):
            if node.op_type == "MatMul" and node.inputs[1] in self.weights:
                self._multiply(node, *self.weights[node.inputs[1]])

    def _multiply(self, node: ir.Node, weight: ir.Value, scales: ir.Value) -> None:
        tape, result = Tape(), node.outputs[0]
        signal, level, zero = self._bytes_of(tape, node)
        product = tape.op("MatMulInteger", [signal, weight, zero])
        factor = tape.op("Mul", [level, scales])
        product = tape.op("Cast", [product], {"to": ir.DataType.FLOAT})
        scaled = tape.op("Mul", [product, factor])
        scaled.name, scaled.shape, scaled.type = f"{result.name}.int8", result.shape, result.type
        result.replace_all_uses_with(scaled, replace_graph_outputs=True)
        insert_before(node, tape, NAME, f"{result.name}.int8")
        assert node.graph is not None, "the node stands in a graph"
        node.graph.remove(node, safe=True)

    def _bytes_of(self, tape: Tape, node: ir.Node) -> tuple[ir.Value, ir.Value, ir.Value]:
        """A signal in bytes, its step and zero; shared by all products."""
        signal, graph = node.inputs[0], node.graph
        assert signal is not None, "a product has two factors"
        assert isinstance(graph, ir.Graph), "the node stands in a graph"
        if (signal, graph) not in self.signals:
            found = tape.op_multi_out("DynamicQuantizeLinear", [signal], num_outputs=3)
            self.signals[signal, graph] = (found[0], found[1], found[2])
        return self.signals[signal, graph]


def _store(graph: ir.Graph, value: ir.Value) -> None:
    """Eight bits in the file, the same arithmetic."""
    assert value.const_value is not None, "an initializer has a value"
    original = value.const_value.numpy()
    axes = [axis for axis, size in enumerate(original.shape) if size > 1]
    tried = {axis: _quantised(original, axis) for axis in axes}
    best = min(axes, key=lambda axis: _noise(original, *tried[axis]))
    array, scale = tried[best]
    scales = _initializer(graph, f"{value.name}.scale", scale.ravel())

    def decode(tape: Tape, stored: ir.Value) -> ir.Value:
        return tape.op("DequantizeLinear", [stored, scales], {"axis": best})

    encode(graph, value, array, INT8, decode, NAME)


def _quantised(array: NDArray[Any], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Whole numbers up to ±127, with their step per index."""
    others = tuple(each for each in range(array.ndim) if each != axis)
    peaks = np.abs(array).max(axis=others, keepdims=True)
    scale = (np.where(peaks > 0, peaks, 1) / STEPS).astype(np.float32)
    return np.rint(array / scale).clip(-STEPS, STEPS).astype(np.int8), scale


def _noise(original: NDArray[Any], array: NDArray[np.int8], scale: NDArray[np.float32]) -> float:
    return float(np.square(original - array * scale, dtype=np.float64).sum())


def _initializer(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    value = ir.Value(name=name, shape=ir.Shape(array.shape), const_value=ir.tensor(array, name=name))
    value.dtype = ir.DataType.from_numpy(array.dtype)
    graph.register_initializer(value)
    return value
