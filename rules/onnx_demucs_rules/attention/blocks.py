"""Cutting a large tensor into blocks of steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from onnx_demucs_rules.known import elements

if TYPE_CHECKING:
    import onnx_ir as ir


def block_sizes(large: ir.Value, most_bytes: int) -> list[int] | None:
    """The steps of each block, for at most about ``most_bytes`` of ``large``.

    Args:
        large: float32 ``[…, steps, width]``.
        most_bytes: of a block.

    Returns:
        The sizes; ``None`` where steps or width are open.
    """
    if large.shape is None or not all(isinstance(size, int) for size in large.shape[-2:]):
        return None
    steps: Any = large.shape[-2]
    size = math.ceil(steps / math.ceil(4 * elements(large) / most_bytes))
    return [min(size, steps - start) for start in range(0, steps, size)]


def in_blocks(op: Any, x: ir.Value, sizes: list[int]) -> Any:
    """``x [B, …, steps, C]`` cut into blocks of so many steps."""
    return op.Split(x, op.Constant(value_ints=sizes), axis=-2, _outputs=len(sizes))
