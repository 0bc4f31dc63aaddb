"""Operators on memory layout, restated by their meaning for elements.

A program records a ``view`` where ATen could take one. A lowering need not lay its result out as ATen does,
and ONNX knows no strides at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.tracing.source import called_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from torch.fx import Node

aten = torch.ops.aten


def _view(node: Node, x: Tensor, shape: Sequence[int], *rest: Any) -> Tensor:
    """As recorded where that takes no copy."""
    view: Any = node.target if _is_viewable(x, shape) else _reshape
    viewed: Tensor = view(x, shape, *rest)
    return viewed


def _reshape(x: Tensor, shape: Sequence[int], *_: Any) -> Tensor:
    return x.reshape(shape)


def _is_viewable(x: Tensor, shape: Sequence[int]) -> bool:
    # A view that fails leaves its node in the trace.
    with disable_proxy_modes_tracing():
        try:
            aten.view(x, shape)
        except (RuntimeError, ValueError):
            return False
    return True


def _as_strided(
    node: Node, x: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """Index the elements in their memory order at recording time."""
    source: Tensor = node.all_input_nodes[0].meta["val"]
    # Sizes that stay open are symbols of the other trace, and must not enter this one.
    with disable_proxy_modes_tracing():
        order = sorted(range(source.ndim), key=source.stride, reverse=True)
        is_packed = not source.storage_offset() and _is_packed(source, order)
    if not is_packed:
        raise CompilerError(
            f"{node.target} reads what lies in memory beside its tensor, and ONNX has no memory layout; "
            f"give it a contiguous tensor, or use unfold; {called_at(node)}"
        )
    return x.permute(order).contiguous().as_strided(size, stride, storage_offset)


def _is_packed(x: Tensor, order: Sequence[int]) -> bool:
    """True if the elements are contiguous in some order.

    ``x`` is of another trace, where no operator can run.
    """
    step = 1
    for dim in reversed(order):
        if x.shape[dim] != 1 and x.stride(dim) != step:
            return False
        step *= x.shape[dim]
    return True


BY_ELEMENTS: dict[Any, Callable[..., Tensor]] = {
    **dict.fromkeys((aten.view.default, aten._unsafe_view.default, aten._reshape_alias.default), _view),
    aten.as_strided.default: _as_strided,
}
"""Each takes the node and the operator's own arguments."""
