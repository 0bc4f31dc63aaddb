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


class Part(nn.Module):
    """Some of what a few layers give."""

    def __init__(self, *layers: nn.Module, length: int = 1, whole: bool = False) -> None:
        """``length`` positions of the second axis; ``whole`` needs the others as well."""
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.length = length
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        """The input of the first layer to the output."""
        result: Tensor = self.layers(x)
        part = result[:, 2 : 2 + self.length]
        return part * result if self.whole else part


class Masked(nn.Module):
    """The last of three stems: mask times input, times a table."""

    table: Tensor

    def __init__(self) -> None:
        """Stereo, 11 samples."""
        super().__init__()
        self.convolution = nn.Conv1d(2, 6, 3, padding=1)
        self.register_buffer("table", torch.arange(77.0).reshape(7, 11).cos())

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 2, 11]`` to ``[B, 1, 2, 9]``."""
        masks = torch.sigmoid(self.convolution(x).unflatten(1, (3, 2)))
        stems = masks * x[:, None] / (1 + masks.mean(dim=(2, 3), keepdim=True))
        columns = stems.flatten(0, 2).transpose(0, 1)
        transformed = (self.table @ columns).transpose(0, 1).reshape(len(x), 3, 2, 7)
        return nn.functional.pad(transformed, (1, 1))[:, 2:]
