"""Cutting a large tensor into blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from onnx_demucs_rules.forms import attended
from onnx_demucs_rules.known import elements

if TYPE_CHECKING:
    import onnx_ir as ir

SCORES_BYTES = 8 << 20
"""The scores of one block of attention."""

LEAST_SCORES_BYTES = 4 * SCORES_BYTES
"""What is worth cutting: less is no memory to speak of, and whole products are faster."""


def attention(op: Any, query: Any, key: Any, value: Any) -> Any:
    """Two products with a softmax between them, and their ``scores``."""
    return attended(op, op.MatMul(query, key, _outputs=["scores"]), value)


def block_sizes(large: ir.Value, most_bytes: int, axis: int = -2) -> list[int] | None:
    """The places along an axis of each block.

    Args:
        large: float32 ``[…, steps, width]``.
        most_bytes: of a block.
        axis: to cut along, of steps unless given.

    Returns:
        The sizes; ``None`` where the axis, steps or width are open.
    """
    if large.shape is None:
        return None
    places: Any = large.shape[axis]
    if not all(isinstance(size, int) for size in (places, *large.shape[-2:])):
        return None
    size = math.ceil(places / math.ceil(4 * elements(large) / most_bytes))
    return [min(size, places - start) for start in range(0, places, size)]


def in_blocks(op: Any, x: ir.Value, sizes: list[int], axis: int = -2) -> Any:
    """A value cut into blocks along an axis."""
    return op.Split(x, op.Constant(value_ints=sizes), axis=axis, _outputs=len(sizes))
