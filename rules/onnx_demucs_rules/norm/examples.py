"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Centre(nn.Module):
    """Takes a mean, of values that are not centred already."""

    def __init__(self, dims: tuple[int, ...], keepdim: bool = True) -> None:
        """Take the arguments of ``torch.mean``."""
        super().__init__()
        self.options: dict[str, Any] = {"dim": dims, "keepdim": keepdim}

    def forward(self, x: Tensor) -> Tensor:
        """Mean of ``x + 1``."""
        return (x + 1).mean(**self.options)


class Scale(nn.Module):
    """Takes a standard deviation or a variance of values off centre."""

    def __init__(self, dims: tuple[int, ...] | None, squared: bool = False, **options: Any) -> None:
        """Take the arguments of ``torch.std``; ``squared`` takes ``torch.var`` instead."""
        super().__init__()
        self.measure = torch.var if squared else torch.std
        self.options = {"dim": dims} | options

    def forward(self, x: Tensor) -> Tensor:
        """Spread of ``x + 1``."""
        return self.measure(x + 1, **self.options)


class Projected(nn.Module):
    """A convolution, pointwise unless it has a ``kernel``, and its GroupNorm."""

    def __init__(
        self,
        channels: int,
        widened: int,
        dimensions: int = 1,
        groups: int = 1,
        affine: bool = True,
        bias: bool = True,
        kernel: int = 1,
        offset: float = 0.0,
        keep: bool = False,
    ) -> None:
        """Start from random weights; ``keep`` adds the convolution's result to the norm's."""
        super().__init__()
        convolution: Any = nn.Conv1d if dimensions == 1 else nn.Conv2d
        self.conv = convolution(channels, widened, kernel, padding=kernel // 2, bias=bias)
        self.norm = nn.GroupNorm(groups, widened, affine=affine)
        self.offset, self.keep = offset, keep
        for parameter in self.norm.parameters():
            nn.init.uniform_(parameter, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        """Norm of the convolution."""
        projected = self.conv(x + self.offset)
        normalised: Tensor = self.norm(projected)
        return normalised + projected if self.keep else normalised


class Accumulate(nn.Module):
    """Takes a running sum."""

    def __init__(self, dim: int, whole: bool = False, dtype: torch.dtype | None = None) -> None:
        """Take the arguments of ``torch.cumsum``; ``whole`` takes the sum of whole numbers."""
        super().__init__()
        self.dim, self.whole, self.dtype = dim, whole, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Running sum of ``x``, or of its sign as a whole number."""
        return torch.cumsum((x > 0).long() if self.whole else x, self.dim, dtype=self.dtype)


class ComplexAccumulate(nn.Module):
    """A running sum of complex numbers."""

    def forward(self, x: Tensor) -> Tensor:
        """``[…, n, 2]`` to the same."""
        return torch.view_as_real(torch.view_as_complex(x).cumsum(-1))
