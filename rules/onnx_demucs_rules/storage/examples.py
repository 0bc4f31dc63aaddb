"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


ALIKE = """
<ir_version: 8, opset_import: ["": 18]>
alike (float[2, 3] x) => (float[a, b] y)
    <float[3] one = {1, 2, 3}, float[3] same = {1, 2, 3}, float[3] other = {1, 2, 3.0000002}>
{
    first = Add(x, one)
    second = Mul(first, same)
    y = Sub(second, other)
}
"""


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


class ScaledConvolution(nn.Module):
    """A convolution whose kernel is a product of two weights."""

    def __init__(self) -> None:
        """Three channels to four."""
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 5))
        self.scale = nn.Parameter(torch.rand(4, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, N]`` to ``[B, 4, N - 4]``."""
        return torch.conv1d(x, self.kernel * self.scale)
