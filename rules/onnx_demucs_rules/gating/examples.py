"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Gated(nn.Module):
    """A convolution and a gated linear unit over its channels."""

    def __init__(
        self, dimensions: int = 1, scaled: bool = False, keep: bool = False, groups: int = 1, **options: Any
    ) -> None:
        """``scaled`` computes the weights, ``keep`` returns the convolution's result as well."""
        super().__init__()
        convolution: Any = nn.Conv1d if dimensions == 1 else nn.Conv2d
        self.conv = convolution(3, 12, 3, padding=1, groups=groups, **options)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 12)[:, None, None]) if scaled else None
        self.keep = keep

    def forward(self, x: Tensor) -> Any:
        """Half of the channels, gated by the other half."""
        if self.scale is None:
            whole = self.conv(x)
        else:
            whole = nn.functional.conv1d(x, self.conv.weight * self.scale, self.conv.bias, padding=1)
        gated = nn.functional.glu(whole, dim=1)
        return (gated, whole) if self.keep else gated
