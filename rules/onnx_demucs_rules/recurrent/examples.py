"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


FROM_ZEROS = """
<ir_version: 8, opset_import: ["": 18]>
recurrent (float[7, batch, 5] x, float[1, 16, 5] w, float[1, 16, 4] r) => (float[7, 1, batch, 4] y)
    <float[1, 1, 4] zeros = {0, 0, 0, 0}, float[1, 1, 4] ones = {1, 1, 1, 1},
     int32[1] five = {5}, int64[1] one = {1}, int64[1] two = {2}, int64[1] four = {4}>
{
    shape = Shape(x)
    batch = Slice(shape, one, two)
    sizes = Concat<axis = 0>(one, batch, four)
    lengths = Expand(five, batch)
    state = Expand(zeros, sizes)
    other = Expand(ones, sizes)
    y = LSTM<hidden_size = 4>(x, w, r, , , state, state)
}
"""


def blstm(**options: Any) -> nn.Module:
    """A BLSTM of demucs with six channels; it takes ``[B, 6, T]``."""
    from demucs.demucs import BLSTM

    model: nn.Module = BLSTM(6, **({"max_steps": 8, "skip": True} | options))
    return model


class Recurrence(nn.Module):
    """A recurrent layer of torch over ``[T, B, 5]``."""

    def __init__(self, layer: Callable[..., nn.RNNBase] = nn.LSTM, **options: Any) -> None:
        """Four units, in both directions unless told otherwise."""
        super().__init__()
        self.layer = layer(5, 4, **({"bidirectional": True} | options))

    def forward(self, x: Tensor) -> Tensor:
        """To ``[T, B, 4]`` for each direction."""
        output: Tensor = self.layer(x)[0]
        return output


class GivenState(Recurrence):
    """The same, beginning with a state that the model holds."""

    state: Tensor

    def __init__(self, value: float) -> None:
        """Begin with ``value`` throughout."""
        super().__init__()
        self.register_buffer("state", torch.full((2, 3, 4), value))

    def forward(self, x: Tensor) -> Tensor:
        """``[T, 3, 5]`` to ``[T, 3, 8]``."""
        output: Tensor = self.layer(x, (self.state, self.state))[0]
        return output


class SharedWeights(Recurrence):
    """The same with an initial state that contains the layer's weight."""

    def forward(self, x: Tensor) -> Tensor:
        """To ``[T, B, 8]``."""
        return super().forward(x) + self.layer.get_parameter("weight_ih_l0").sum()
