"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


class SelfAttention(nn.Module):
    """``nn.MultiheadAttention`` of 32 channels over itself."""

    def __init__(self) -> None:
        """Four heads."""
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, 32]`` to the same."""
        attended: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return attended


class CrossAttention(nn.Module):
    """Scaled dot-product attention as such, with the mask named."""

    def __init__(self, mask: str | None = None, **options: Any) -> None:
        """``mask`` is ``"added"``, ``"boolean"`` or ``None``; options go to the operator."""
        super().__init__()
        self.mask = mask
        self.options = options

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """``[B, H, T, D]`` and ``[B, H, S, D]`` to ``[B, H, T, D]``."""
        mask = None
        if self.mask:
            distance = torch.arange(query.shape[-2])[:, None] - torch.arange(memory.shape[-2])
            mask = distance.abs() < 4 if self.mask == "boolean" else -0.1 * distance.abs()
        return F.scaled_dot_product_attention(query, memory, memory * 0.5, attn_mask=mask, **self.options)


def local_state(**options: Any) -> nn.Module:
    """A LocalState of demucs with eight channels; it takes ``[B, 8, T]``."""
    from demucs.demucs import LocalState

    model: nn.Module = LocalState(8, **options)
    return model
