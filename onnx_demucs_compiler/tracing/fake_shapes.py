"""Shapes that torch.export need not compute the long way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import torch
from torch._decomp import decomposition_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


@contextmanager
def overlap_add_by_shape() -> Iterator[None]:
    """While it lasts, tracing asks an overlap-add for its shape only.

    torch.export learns the shape of ``aten.istft`` by tracing a decomposition of it, again in each later
    pass over the program. The overlap-add in there, ``aten.unfold_backward``, is a Python loop over the
    samples of a hop, and takes most of the time where the length is open, for a result whose shape is one
    of its arguments.
    """
    with mock.patch.dict(decomposition_table, {torch.ops.aten.unfold_backward.default: _empty}):
        yield


def _empty(grad: Tensor, input_sizes: Sequence[int], dim: int, size: int, step: int) -> Tensor:  # noqa: ARG001
    return grad.new_empty(input_sizes)
