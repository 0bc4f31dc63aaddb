"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Embedded(nn.Module):
    """Adds an embedding of rows to an image, repeated for every frame."""

    def __init__(
        self,
        crop: int = 0,
        narrow: bool = False,
        scale: float | tuple[float, ...] = 0.2,
    ) -> None:
        """Choose what differs from HTDemucs.

        Args:
            crop: rows dropped first.
            narrow: the image has a single frame before the sum.
            scale: of the embedding, or of each of 8 channels.
        """
        super().__init__()
        self.embedding = nn.Embedding(32, 8)
        self.crop = crop
        self.narrow = narrow
        self.register_buffer(
            "scale", torch.tensor(scale).reshape(-1, 1, 1) if isinstance(scale, tuple) else None
        )
        self.number = scale if isinstance(scale, float) else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 8, rows, T]`` to the same, without what is cropped."""
        long = 2 * x
        image = long[:, :, : -self.crop] if self.crop else long
        embedding = self.embedding(torch.arange(image.shape[2])).t()[None, :, :, None]
        repeated = embedding.expand_as(image)
        added = self.number * repeated if self.scale is None else repeated * self.scale
        embedded: Tensor = (image[..., :1] if self.narrow else image) + added
        return embedded


class Rotated(nn.Module):
    """Pairs turned by an angle for each step, and two axes swapped."""

    cos: Tensor
    sin: Tensor

    def __init__(self, axes: tuple[int, int] = (1, 2), steps: int = 7, keep: bool = False) -> None:
        """Swap ``axes``; ``keep`` returns what is not swapped too."""
        super().__init__()
        self.axes = axes
        self.keep = keep
        angles = torch.arange(steps)[:, None, None] * torch.tensor([1.0, 0.1, 0.01, 0.001])
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, x: Tensor) -> Any:
        """``[B, T, H, 8]`` to the same with two axes swapped."""
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        rotated = torch.view_as_real(pairs * torch.complex(self.cos, self.sin)[None]).reshape_as(x)
        swapped = rotated.transpose(*self.axes)
        return (swapped, rotated) if self.keep else swapped


class Swapped(nn.Module):
    """Two axes swapped, and nothing turned."""

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, H, D]`` to ``[B, H, T, D]``."""
        return x.transpose(1, 2) + 1
