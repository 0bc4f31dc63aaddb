"""A small model for the cases of rules about an added embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
