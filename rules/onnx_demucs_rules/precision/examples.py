"""Small models for the cases of this folder's rules."""

from __future__ import annotations

import torch
from torch import nn


def linear(scale: float = 1.0, *, half: bool = False, size: int = 64) -> nn.Module:
    """A layer whose weights are scaled, and then brought to what half precision can say."""
    layer = nn.Linear(size, size)
    with torch.no_grad():
        layer.weight.mul_(scale)
        if half:
            layer.weight.copy_(layer.weight.half().float())
    return layer
