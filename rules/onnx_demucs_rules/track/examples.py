"""A small model for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Separator(nn.Module):
    """Three stems whose samples depend on their neighbours."""

    sources = ("drums", "bass", "vocals")

    def __init__(self) -> None:
        """Stereo."""
        super().__init__()
        self.convolution = nn.Conv1d(2, 6, 9, padding=4)

    def forward(self, mix: Tensor) -> Tensor:
        """``[B, 2, N]`` to ``[B, 3, 2, N]``."""
        separated: Tensor = self.convolution(mix).tanh().unflatten(1, (3, 2))
        return separated
