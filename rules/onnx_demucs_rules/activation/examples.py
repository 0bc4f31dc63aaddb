"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Slopes(nn.Sequential):
    """A convolution and a PReLU."""

    def __init__(self, slopes: int = 1) -> None:
        """``slopes`` is 1, or 4 for one to each channel."""
        super().__init__(nn.Conv1d(4, 4, 3), nn.PReLU(slopes))


class Clamped(nn.Module):
    """Numbers between two bounds."""

    def __init__(self, low: float | None, high: float | None) -> None:
        """Take the bounds, as Python wrote them."""
        super().__init__()
        self.low = low
        self.high = high

    def forward(self, x: Tensor) -> Tensor:
        """One tensor to one of its shape."""
        return x.clamp(self.low, self.high)
