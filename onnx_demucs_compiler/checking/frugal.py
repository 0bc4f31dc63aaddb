"""PyTorch's own operators in float64, with small temporaries."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from onnx_demucs_compiler.checking.double import Throughout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

PIECE_BYTES = 2**24
"""Of a convolution's unfolded input; blocks of this size the allocator uses again."""


@contextmanager
def frugal() -> Iterator[None]:
    """Let attention and convolutions in float64 go block by block.

    What they compute stays the same but for the order of summation.
    """
    before = torch.backends.mha.get_fastpath_enabled()  # it holds every score at once
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with ConvolutionsInPieces():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


class ConvolutionsInPieces(Throughout):
    """Gives convolutions in float64 their input piece by piece.

    PyTorch's kernel for float64 first unfolds all that it gets, which makes it as many times larger as the
    kernel has numbers.
    """

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operator, a large convolution in pieces."""
        if func is torch.ops.aten.convolution.default and args[0].dtype == torch.float64:
            return _convolution(*args)
        return func(*self._held(func, args), **(kwargs or {}))


def _convolution(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    """A convolution as ``aten::convolution`` has it, in pieces if it is large."""
    _, stride, padding, dilation, transposed, *_ = rest
    reach = dilation[0] * (weight.shape[2] - 1) + 1
    rows = (x.shape[2] + 2 * padding[0] - reach) // stride[0] + 1
    row_bytes = x.element_size() * x.shape[1] * math.prod([*weight.shape[2:], *x.shape[3:]])
    pointwise = math.prod(weight.shape[2:]) == 1
    if transposed or pointwise or len(x) * rows * row_bytes <= PIECE_BYTES:
        return torch.convolution(x, weight, *rest)
    if len(x) > 1:
        parts = x.split(max(1, PIECE_BYTES // (rows * row_bytes)))
        return _joined((_convolution(part, weight, *rest) for part in parts), 0, len(x))
    size = max(1, PIECE_BYTES // row_bytes)
    spans = ((start, min(start + size, rows)) for start in range(0, rows, size))
    return _joined((_rows(x, weight, reach, span, *rest) for span in spans), 2, rows)


def _rows(
    x: Tensor,
    weight: Tensor,
    reach: int,
    span: tuple[int, int],
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    *rest: Any,
) -> Tensor:
    """Some rows of a convolution, from those of ``x`` they reach."""
    first, last = span[0] * stride[0] - padding[0], (span[1] - 1) * stride[0] - padding[0] + reach
    part = x[:, :, max(first, 0) : max(last, 0)]
    before = min(max(-first, 0), last - first)
    after = last - first - before - part.shape[2]
    part = functional.pad(part, (*(0, 0) * (x.ndim - 3), before, after))
    return torch.convolution(part, weight, bias, stride, [0, *padding[1:]], *rest)


def _joined(pieces: Iterable[Tensor], axis: int, length: int) -> Tensor:
    """The pieces along an axis, joined without holding all of them."""
    whole, filled = None, 0
    for piece in pieces:
        if whole is None:
            whole = piece.new_empty((*piece.shape[:axis], length, *piece.shape[axis + 1 :]))
        whole.narrow(axis, filled, piece.shape[axis]).copy_(piece)
        filled += piece.shape[axis]
    assert whole is not None, "there are rows"
    return whole
