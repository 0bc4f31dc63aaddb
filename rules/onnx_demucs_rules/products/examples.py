"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Einsum(nn.Module):
    """A sum over products of its inputs."""

    def __init__(self, equation: str, complex_values: bool = False) -> None:
        """``complex_values`` lie in the last axis of each input."""
        super().__init__()
        self.equation = equation
        self.complex_values = complex_values

    def forward(self, x: Tensor, y: Tensor, z: Tensor | None = None) -> Tensor:
        """The sum, of two or three inputs."""
        inputs = [x, y] if z is None else [x, y, z]
        if self.complex_values:
            inputs = [torch.view_as_complex(value) for value in inputs]
        product = torch.einsum(self.equation, *inputs)
        return torch.view_as_real(product) if self.complex_values else product


class ScaledLayer(nn.Module):
    """Layers of 20 channels, scaled before."""

    def __init__(self, layers: int = 1, dynamic: bool = False) -> None:
        """Choose the layers behind; ``dynamic`` scales by the input itself."""
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(20, 7, bias=False) for _ in range(layers))
        self.scale = nn.Parameter(torch.randn(20))
        self.dynamic = dynamic

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, 20]`` to ``[B, T, 7]``."""
        scaled = x * x.mean(1, keepdim=True) if self.dynamic else x * self.scale
        return torch.stack([layer(scaled) for layer in self.layers]).sum(0)
