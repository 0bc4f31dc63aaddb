"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


class BetweenZeros(nn.Module):
    """The input between zeros that are made anew."""

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, N]`` to ``[B, C, N + 6]``."""
        before, after = x.new_zeros(*x.shape[:-1], 2), x.new_zeros(*x.shape[:-1], 4)
        return torch.cat([before, x, after], dim=-1)


class Padded(nn.Module):
    """Padding, with a value that only a constant one reads."""

    def __init__(self, *sizes: int, mode: str = "reflect") -> None:
        """Take the arguments of ``F.pad``."""
        super().__init__()
        self.sizes, self.mode = sizes, mode

    def forward(self, x: Tensor) -> Tensor:
        """``[…, N]`` to ``[…, N + before + after]``."""
        return F.pad(x, self.sizes, self.mode, 0.0)


class ManyPieces(nn.Module):
    """Every column by itself, in the other order."""

    def forward(self, x: Tensor) -> Tensor:
        """``[B, N]`` to the same."""
        return torch.cat(x.split(1, dim=1)[::-1], dim=1)


class ComplexPadded(Padded):
    """The same of complex numbers."""

    def forward(self, x: Tensor) -> Tensor:
        """``[…, n, 2]`` to the same, longer."""
        return torch.view_as_real(super().forward(torch.view_as_complex(x)))
