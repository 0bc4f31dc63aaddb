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
    """Takes a standard deviation or a variance, of values that are not centred."""

    def __init__(self, dims: tuple[int, ...] | None, squared: bool = False, **options: Any) -> None:
        """Take the arguments of ``torch.std``; ``squared`` takes ``torch.var`` instead."""
        super().__init__()
        self.measure = torch.var if squared else torch.std
        self.options = {"dim": dims} | options

    def forward(self, x: Tensor) -> Tensor:
        """Spread of ``x + 1``."""
        return self.measure(x + 1, **self.options)
