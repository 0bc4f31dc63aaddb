"""Shapes of LSTM layers without their steps, while a program is traced."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch._decomp import decompositions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

SELECT = "select_one_layer_lstm_function"


@contextmanager
def lstm_by_shape() -> Iterator[None]:
    """Trace an LSTM by the shapes of its inputs.

    To find them torch otherwise takes every step of every layer and direction on fake tensors, in each of
    the four traces of a compilation: most of the time for a model of hundreds of steps. What runs on
    numbers does not come this way. A torch that has no such function is left as it is.
    """
    original = getattr(decompositions, SELECT, None)
    if original is None:
        yield
        return
    setattr(decompositions, SELECT, lambda *_: _one_layer)
    try:
        yield
    finally:
        setattr(decompositions, SELECT, original)


def _one_layer(
    steps: Tensor,
    hidden: tuple[Tensor, Tensor],
    params: Any,  # noqa: ARG001 - as the function that this one stands in for
    has_biases: bool,  # noqa: ARG001
    reverse: bool = False,  # noqa: ARG001
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    state, cell = hidden
    return steps.new_empty(*steps.shape[:-1], state.shape[-1]), (
        torch.empty_like(state),
        torch.empty_like(cell),
    )
