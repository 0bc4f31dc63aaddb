"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


SAME_PADDING = """
<ir_version: 8, opset_import: ["": 18]>
same (float[1, 32, 8, 12] x, float[32, 32, 3, 3] w) => (float[1, 32, 8, 12] y)
{
    y = Conv<auto_pad = "SAME_UPPER", kernel_shape = [3, 3]>(x, w)
}
"""


class GatedImage(nn.Module):
    """A convolution of an image and a gated linear unit."""

    def __init__(self, channels: int = 32, kernel: int = 3) -> None:
        """As many channels out as in."""
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, F, T]`` to the same."""
        return nn.functional.glu(self.conv(x), dim=1)


class ScaledGate(nn.Module):
    """A gated convolution, and what demucs' LayerScale does to it."""

    def __init__(
        self,
        dimensions: int = 1,
        bias: bool = True,
        shape: tuple[int, ...] | None = None,
        dynamic: bool = False,
    ) -> None:
        """One scale per channel, or of another ``shape``; ``dynamic`` computes it."""
        super().__init__()
        convolution: Any = nn.Conv1d if dimensions == 1 else nn.Conv2d
        self.conv = convolution(3, 12, 1, bias=bias)
        shape = shape or (6, *(1 for _ in range(dimensions)))
        self.scale = nn.Parameter(torch.rand(shape) + 0.5)
        self.dynamic = dynamic

    def forward(self, x: Tensor) -> Tensor:
        """Scale times gate."""
        scale = self.scale * x.mean() if self.dynamic else self.scale
        return scale * nn.functional.glu(self.conv(x), dim=1)
