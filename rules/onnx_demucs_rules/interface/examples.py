"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Separator(nn.Module):
    """Two stems by one convolution."""

    def __init__(self) -> None:
        """Stereo."""
        super().__init__()
        self.convolution = nn.Conv1d(2, 4, 3, padding=1)

    def forward(self, mix: Tensor) -> Tensor:
        """``[B, 2, N]`` to ``[B, 2, 2, N]``."""
        separated: Tensor = self.convolution(mix).unflatten(1, (2, 2))
        return separated
