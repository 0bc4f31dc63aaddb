"""The inputs needed for a choice among an operator's outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnx_demucs_rules.known import constant, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import onnx_ir as ir

    from onnx_demucs_rules.known import Size

    Rule = Callable[[ir.Node, "Selection"], "Selections | None"]

ELEMENTWISE = """
    Abs Add And Cast Ceil Clip Cos Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid
    Identity LeakyRelu Less LessOrEqual Log Max Mean Min Mod Mul Neg Not Or Pow Reciprocal Relu Round Sigmoid
    Sign Sin Softplus Sqrt Sub Sum Tanh Where Xor
"""
REDUCTIONS = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"


@dataclass(frozen=True)
class Selection:
    """Some of an axis: ``indices`` along the middle of ``[rest, size, inner]``.

    Attributes:
        axis: of the tensor, counted from the front.
        size: how many there are to choose from.
        indices: which of them, in which order.
        inner: how many elements go with each; one, or more where axes have been merged.
    """

    axis: int
    size: int
    indices: tuple[int, ...]
    inner: Size = 1

    def positions(self, length: Size) -> list[int] | None:
        """The positions along an axis; ``None`` if an open size decides."""
        if not isinstance(length, int) or not isinstance(self.inner, int):
            return None
        blocks = np.arange(length).reshape(-1, self.size, self.inner)
        return [int(position) for position in blocks[:, list(self.indices)].ravel()]

    def narrowed(self, length: Size) -> Size:
        """The length of the selected part of an axis of that length."""
        left = quotient(length * len(self.indices), self.size)
        assert left is not None, "the axis is made of that many blocks"
        return left


Selections = dict[int, Selection]
"""Which inputs are wanted in part only, by their position; the others as they are."""


def quotient(dividend: Size, divisor: Size) -> Size | None:
    """The exact quotient of two sizes; ``None`` unless it always exists."""
    if isinstance(dividend, int) and isinstance(divisor, int):
        return dividend // divisor if dividend % divisor == 0 else None
    ratio = dividend / divisor
    assert not isinstance(ratio, float), "one of the two is open"
    simplest = ratio.simplify()
    if simplest.value is None or "/" in simplest.value:
        return None
    return int(simplest.value) if simplest.value.isdigit() else simplest


def selections(node: ir.Node, wanted: Selection) -> Selections | None:
    """The parts of inputs that a node's parts of outputs need.

    Returns:
        ``None`` where it needs all of them, or nothing is known of the operator.
    """
    values = [value for value in (*node.inputs, *node.outputs) if value is not None]
    if node.op_type not in OPERATORS or node.domain or any(value.shape is None for value in values):
        return None
    return OPERATORS[node.op_type](node, wanted)


def _broadcast(node: ir.Node, wanted: Selection, inputs: Iterable[int]) -> Selections | None:
    """Broadcast inputs: one of size 1 along the axis stays whole."""
    output, found = shape_of(node.outputs[0]), {}
    for index in inputs:
        sizes = shape_of(node.inputs[index])
        axis = wanted.axis - len(output) + len(sizes)
        if axis < 0 or sizes[axis] == 1:
            continue
        if sizes[axis] != output[wanted.axis]:
            return None
        found[index] = replace(wanted, axis=axis)
    return found or None


def _elementwise(node: ir.Node, wanted: Selection) -> Selections | None:
    return _broadcast(node, wanted, range(len(node.inputs)))


def _expand(node: ir.Node, wanted: Selection) -> Selections | None:
    return _broadcast(node, wanted, [0])


def _transpose(node: ir.Node, wanted: Selection) -> Selections | None:
    return {0: replace(wanted, axis=node.attributes["perm"].as_ints()[wanted.axis])}


def _view(node: ir.Node, wanted: Selection) -> Selections | None:
    """Reshape and the like, which keep elements' order."""
    output, sizes = shape_of(node.outputs[0]), shape_of(node.inputs[0])
    inside = _times(wanted.inner, *output[wanted.axis + 1 :])
    for axis, size in enumerate(sizes):
        inner = quotient(inside, _times(*sizes[axis + 1 :]))
        if inner is not None and quotient(size, inner * wanted.size) is not None:
            return {0: replace(wanted, axis=axis, inner=inner)}
    return None


def _times(*sizes: Size) -> Size:
    product: Size = 1
    for size in sizes:
        product = product * size
    return product


def _along(axes_of: Callable[[ir.Node, int], Iterable[int] | None]) -> Rule:
    """An operator along some axes, pointwise on the others."""

    def rule(node: ir.Node, wanted: Selection) -> Selections | None:
        rank = len(shape_of(node.inputs[0]))
        axes = axes_of(node, rank)
        if axes is None or wanted.axis in {axis % rank for axis in axes}:
            return None
        return {0: wanted}

    return rule


def _axis(default: int) -> Callable[[ir.Node, int], list[int]]:
    return lambda node, _: [node.attributes.get_int("axis", default)]


def _sliced(node: ir.Node, rank: int) -> list[int] | None:
    return constant(node, 3) if len(node.inputs) > 3 else list(range(rank))


def _padded(node: ir.Node, rank: int) -> list[int] | None:
    pads = constant(node, 1)
    axes = constant(node, 3) if len(node.inputs) > 3 else list(range(rank))
    if pads is None or axes is None:
        return None
    return [axis for axis, *ends in zip(axes, pads, pads[len(axes) :], strict=False) if any(ends)]


def _concat(node: ir.Node, wanted: Selection) -> Selections | None:
    rank = len(shape_of(node.outputs[0]))
    if node.attributes["axis"].as_int() % rank == wanted.axis:
        return None
    return dict.fromkeys(range(len(node.inputs)), wanted)


def _reduce(node: ir.Node, wanted: Selection) -> Selections | None:
    rank, axes = len(shape_of(node.inputs[0])), constant(node, 1)
    if not axes:
        return None
    reduced = {axis % rank for axis in axes}
    kept = [axis for axis in range(rank) if axis not in reduced]
    axis = wanted.axis if node.attributes.get_int("keepdims", 1) else kept[wanted.axis]
    return {0: replace(wanted, axis=axis)} if axis not in reduced else None


def _gather(node: ir.Node, wanted: Selection) -> Selections | None:
    rank, places = len(shape_of(node.inputs[0])), len(shape_of(node.inputs[1]))
    axis = node.attributes.get_int("axis", 0) % rank
    if axis <= wanted.axis < axis + places:
        return None
    behind = wanted.axis >= axis + places
    return {0: replace(wanted, axis=wanted.axis + (1 - places if behind else 0))}


def _matmul(node: ir.Node, wanted: Selection) -> Selections | None:
    left, right = (len(shape_of(value)) for value in node.inputs)
    from_end = len(shape_of(node.outputs[0])) - wanted.axis
    if min(left, right) < 2:
        return None
    if from_end == 1:
        return {1: replace(wanted, axis=right - 1)}
    return {0: replace(wanted, axis=left - 2)} if from_end == 2 else _broadcast(node, wanted, [0, 1])


def _gemm(node: ir.Node, wanted: Selection) -> Selections | None:
    operand = wanted.axis
    turned = node.attributes.get_int(("transA", "transB")[operand], 0)
    added = _broadcast(node, wanted, range(2, len(node.inputs))) or {}
    return {operand: replace(wanted, axis=operand ^ bool(turned))} | added


def _convolution(weight_axis: int) -> Rule:
    """Output channels are rows of the weight, and of the bias."""

    def rule(node: ir.Node, wanted: Selection) -> Selections | None:
        if wanted.axis != 1 or node.attributes.get_int("group", 1) != 1:
            return None
        bias = {2: replace(wanted, axis=0)} if len(node.inputs) > 2 and node.inputs[2] is not None else {}
        return {1: replace(wanted, axis=weight_axis)} | bias

    return rule


OPERATORS: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE.split(), _elementwise),
    **dict.fromkeys((f"Reduce{kind}" for kind in REDUCTIONS.split()), _reduce),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _view),
    "Concat": _concat,
    "Conv": _convolution(0),
    "ConvTranspose": _convolution(1),
    "Expand": _expand,
    "Gather": _gather,
    "Gemm": _gemm,
    "LogSoftmax": _along(_axis(-1)),
    "MatMul": _matmul,
    "Pad": _along(_padded),
    "Slice": _along(_sliced),
    "Softmax": _along(_axis(-1)),
    "Split": _along(_axis(0)),
    "Transpose": _transpose,
}
