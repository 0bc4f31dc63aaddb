"""Moves of complex elements without splitting their tensor of both parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from onnx_demucs_compiler.rules import ComplexPair, Halves, with_axis_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

aten = torch.ops.aten

PADS = (aten.pad.default, aten.constant_pad_nd.default)
VIEWS = (aten.view.default, aten.reshape.default, aten._unsafe_view.default)


def moved(op: Any, z: ComplexPair, *args: Any, **kwargs: Any) -> ComplexPair | None:
    """The result of a moving operator, both halves still in one tensor.

    Returns:
        ``None`` where the halves lie apart, or have to: the operator goes half by half then.
    """
    if z.halves is None or op not in MOVES:
        return None
    halves = MOVES[op](z.halves, *args, **kwargs)
    return None if halves is None else ComplexPair.of(halves)


def of_interleaved(x: Tensor) -> ComplexPair:
    """``[..., bins, frames, 2]`` as a pair in ``[..., 2, bins, frames]``."""
    axis = max(x.ndim - 3, 0)
    return ComplexPair.of(Halves(with_axis_at(x, -1, axis), axis))


def pads_zeros(*rest: Any, **named: Any) -> bool:
    """True if a pad with these further arguments inserts zeros."""
    return all(value in (None, 0, "constant") for value in (*rest, *named.values()))


def known_equal(sizes: Sequence[Any], others: Sequence[Any]) -> bool:
    """True if sizes agree, without deciding or tracing on symbols."""
    return [_expression(size) for size in sizes] == [_expression(size) for size in others]


def _expression(size: Any) -> Any:
    return size.node.expr if isinstance(size, torch.SymInt) else size


def _slice(z: Halves, dim: int = 0, *bounds: Any, **named: Any) -> Halves:
    ndim = z.tensor.ndim - 1
    dim = dim % ndim
    return Halves(aten.slice.Tensor(z.tensor, dim + (dim >= z.axis), *bounds, **named), z.axis)


def _permute(z: Halves, dims: Sequence[int]) -> Halves:
    order = [dim % len(dims) for dim in dims]
    order = [dim + (dim >= z.axis) for dim in order]
    return Halves(z.tensor.permute([*order[: z.axis], z.axis, *order[z.axis :]]), z.axis)


def _pad(z: Halves, pad: Sequence[int], *rest: Any, **named: Any) -> Halves | None:
    behind = z.tensor.ndim - 1 - z.axis
    if not pads_zeros(*rest, **named) or len(pad) > 2 * behind:
        return None
    return Halves(aten.constant_pad_nd(z.tensor, pad, 0.0), z.axis)


def _reshape(z: Halves, shape: Sequence[int]) -> Halves | None:
    """A reshape that keeps dimensions before the halves apart from those after."""
    before, after = list(z.tensor.shape[: z.axis]), list(z.tensor.shape[z.axis + 1 :])
    axis = len(shape) - len(after)
    if axis < 0 or not known_equal(shape[axis:], after):
        if not all(isinstance(size, int) and size > 0 for size in (*shape, *before)):
            return None
        products = [math.prod(shape[:count]) for count in range(len(shape) + 1)]
        if math.prod(before) not in products:
            return None
        axis = products.index(math.prod(before))
    return Halves(z.tensor.reshape([*shape[:axis], 2, *shape[axis:]]), axis)


MOVES: dict[Any, Callable[..., Halves | None]] = {
    aten.slice.Tensor: _slice,
    aten.permute.default: _permute,
    **dict.fromkeys(PADS, _pad),
    **dict.fromkeys(VIEWS, _reshape),
}
