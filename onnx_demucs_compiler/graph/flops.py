"""The arithmetic of a graph: multiplications and additions of convolutions and products."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TYPE_CHECKING

from onnx_demucs_compiler.graph.shapes import infer_shapes

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir


def flops(model: ir.Model) -> int:
    """Floating point operations of one run, a multiply-add counted as two.

    Counted are convolutions, matrix products and recurrent layers, without biases; everything elementwise is
    not. An open axis counts as 1, so that the figure of a graph of open batch is that of a batch of 1. The
    body of a loop counts once.
    """
    return sum(COUNTS[node.op_type](node) for node in _counted(model))


def flops_by_weight(model: ir.Model) -> dict[str, int]:
    """The same by initializer: those of the nodes that take it."""
    found = Counter[str]()
    for node in _counted(model):
        for value in node.inputs:
            if value is not None and value.is_initializer() and value.name:
                found[value.name] += COUNTS[node.op_type](node)
    return dict(found)


def _counted(model: ir.Model) -> list[ir.Node]:
    """The nodes that count, with the shapes to count by."""
    if any(_shape_missing(node) for node in model.graph.all_nodes()):
        model = model.clone()
        infer_shapes(model)
    return [node for node in model.graph.all_nodes() if node.op_type in COUNTS]


def _shape_missing(node: ir.Node) -> bool:
    values = [value for value in (*node.inputs, *node.outputs[:1]) if value is not None]
    return node.op_type in COUNTS and any(value.shape is None for value in values)


def _sizes(value: ir.Value | None) -> list[int]:
    assert value is not None, "the operator's schema asks for it"
    assert value.shape is not None, f"nothing is known of the shape of {value.name}"
    return [size if isinstance(size, int) else 1 for size in value.shape]


def _convolution(node: ir.Node) -> int:
    """A sum over the kernel and the group's channels, per output element."""
    return 2 * prod(_sizes(node.outputs[0])) * prod(_sizes(node.inputs[1])[1:])


def _transposed_convolution(node: ir.Node) -> int:
    """A spread over the kernel and the group's channels, per input element."""
    return 2 * prod(_sizes(node.inputs[0])) * prod(_sizes(node.inputs[1])[1:])


def _product(node: ir.Node) -> int:
    return 2 * prod(_sizes(node.outputs[0])) * _sizes(node.inputs[0])[-1]


def _gemm(node: ir.Node) -> int:
    summed = 0 if node.attributes.get_int("transA", 0) else 1
    return 2 * prod(_sizes(node.outputs[0])) * _sizes(node.inputs[0])[summed]


def _einsum(node: ir.Node) -> int:
    """One multiplication per combination of indices and operand after the first."""
    terms = node.attributes["equation"].as_string().replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, value in zip(terms, node.inputs, strict=True):
        dimensions = _sizes(value)
        before, dots, after = term.partition("...")
        free = len(dimensions) - len(before) - len(after) if dots else 0
        broadcast = [f"...{count}" for count in range(free, 0, -1)]
        for label, size in zip([*before, *broadcast, *after], dimensions, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return 2 * prod(sizes.values()) * (len(terms) - 1)


def _recurrence(node: ir.Node) -> int:
    """A product of input and state with all weights, per step."""
    signal, weight, recurrent = node.inputs[:3]
    steps = prod(_sizes(signal)[:2])
    return 2 * steps * (prod(_sizes(weight)) + prod(_sizes(recurrent)))


def _attention(node: ir.Node) -> int:
    """A product of all queries, keys and values: ``[B, T, C]`` each."""
    query, key, value = (_sizes(part) for part in node.inputs[:3])
    return 2 * prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


COUNTS: dict[str, Callable[[ir.Node], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "Einsum": _einsum,
    "GRU": _recurrence,
    "Gemm": _gemm,
    "LSTM": _recurrence,
    "MatMul": _product,
    "MultiHeadAttention": _attention,
    "RNN": _recurrence,
}
