"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

SOURCES = ("drums", "bass", "vocals")


class Separator(nn.Module):
    """Three stems by one convolution."""

    sources = SOURCES

    def __init__(self) -> None:
        """Stereo."""
        super().__init__()
        self.convolution = nn.Conv1d(2, 6, 3, padding=1)

    def forward(self, mix: Tensor) -> Tensor:
        """``[B, 2, N]`` to ``[B, 3, 2, N]``."""
        separated: Tensor = self.convolution(mix).unflatten(1, (3, 2))
        return separated


class OneEach(nn.Module):
    """A bag of three separators of which each gives one stem."""

    sources = SOURCES

    def __init__(self) -> None:
        """Stereo."""
        super().__init__()
        self.models = nn.ModuleList(Separator() for _ in SOURCES)

    def forward(self, mix: Tensor) -> Tensor:
        """``[B, 2, N]`` to ``[B, 3, 2, N]``."""
        return torch.cat([model(mix)[:, k : k + 1] for k, model in enumerate(self.models)], dim=1)
