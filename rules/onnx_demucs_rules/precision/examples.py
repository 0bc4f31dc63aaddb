"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Projections(nn.Module):
    """Two products of one signal, their weights' names in reverse order."""

    def __init__(self) -> None:
        """Of 64 features."""
        super().__init__()
        self.later, self.earlier = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, 64]`` to ``[B, T, 64]``."""
        gate = self.earlier(x).sigmoid()
        gated: Tensor = gate * self.later(x)
        return gated


def linear(scale: float = 1.0, *, half: bool = False, size: int = 64) -> nn.Module:
    """A layer of scaled weights that half precision holds exactly."""
    layer = nn.Linear(size, size)
    with torch.no_grad():
        layer.weight.mul_(scale)
        if half:
            layer.weight.copy_(layer.weight.half().float())
    return layer
