"""Facts about a value before it is computed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

    Size = int | ir.SymbolicDim


def shape_of(value: ir.Value | None) -> tuple[Size, ...]:
    """The sizes of a value; none where nothing is known of it."""
    return tuple(value.shape) if value is not None and value.shape is not None else ()


def constant(node: ir.Node, index: int) -> list[int] | None:
    """An input that is a list of constant integers."""
    value = node.inputs[index] if len(node.inputs) > index else None
    if value is None or value.const_value is None or len(value.const_value.shape) != 1:
        return None
    return [int(item) for item in value.const_value.numpy()]


def elements(value: ir.Value) -> int:
    """The number of elements, open sizes counting once; none if unknown."""
    return math.prod(size for size in value.shape if isinstance(size, int)) if value.shape else 0


def known_beforehand(value: ir.Value | None) -> bool:
    """True if a value depends on weights and constants alone."""
    node = value.producer() if value is not None else None
    if node is None:
        return value is None or value.const_value is not None
    return all(map(known_beforehand, node.inputs))
