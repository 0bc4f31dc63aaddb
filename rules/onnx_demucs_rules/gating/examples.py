"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


GATED = """
<ir_version: 8, opset_import: ["": 18]>
gated (float[2, 3, 64] x, float[12, 3, 3] w) => (float[2, 6, 64] y)
{
    whole = Conv<dilations = [2], pads = [2, 2]>(x, w)
    first, second = Split<axis = 1, num_outputs = 2>(whole)
    gate = Sigmoid(second)
    y = Mul(first, gate)
}
"""


class Gated(nn.Module):
    """A convolution and a gated linear unit over its channels."""

    def __init__(self, dimensions: int = 1, scaled: bool = False) -> None:
        """``scaled`` computes the weights."""
        super().__init__()
        convolution: Any = nn.Conv1d if dimensions == 1 else nn.Conv2d
        self.conv = convolution(3, 12, 3, padding=1)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 12)[:, None, None]) if scaled else None

    def forward(self, x: Tensor) -> Tensor:
        """Half of the channels, gated by the other half."""
        if self.scale is None:
            whole = self.conv(x)
        else:
            whole = nn.functional.conv1d(x, self.conv.weight * self.scale, self.conv.bias, padding=1)
        return nn.functional.glu(whole, dim=1)
