"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class SameTwice(nn.Module):
    """Two buffers that hold the same."""

    first: Tensor
    second: Tensor

    def __init__(self, *, whole: bool = False) -> None:
        """4096 numbers each: cosines, or whole ones from 0 to 63."""
        super().__init__()
        numbers = torch.arange(4096.0).reshape(64, 64)
        table = numbers % 64 if whole else numbers.cos()
        self.register_buffer("first", table)
        self.register_buffer("second", table.clone())

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 64]`` to ``[B, 64]``."""
        return x @ self.first @ self.second
