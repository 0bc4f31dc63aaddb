"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


class SelfAttention(nn.Module):
    """``nn.MultiheadAttention`` over itself."""

    def __init__(self, channels: int = 32, heads: int = 4, masked: bool = False, **options: Any) -> None:
        """Take the layer's sizes and options; ``masked`` hides the first step."""
        super().__init__()
        self.masked = masked
        self.attention = nn.MultiheadAttention(channels, heads, **{"batch_first": True} | options)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, channels]`` to the same."""
        mask = (torch.arange(x.shape[1]) == 0).expand(x.shape[1], -1) if self.masked else None
        attended: Tensor = self.attention(x, x, x, need_weights=False, attn_mask=mask)[0]
        return attended


class CrossAttention(nn.Module):
    """Scaled dot-product attention as such, with the mask named."""

    def __init__(self, mask: str | None = None, together: bool = False, **options: Any) -> None:
        """``mask`` is ``"added"``, ``"boolean"`` or ``None``; options go to the operator.

        ``together`` puts the heads of the result side by side.
        """
        super().__init__()
        self.mask = mask
        self.together = together
        self.options = options

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """``[B, H, T, D]`` and ``[B, H, S, D]`` to ``[B, H, T, D]``."""
        mask = None
        if self.mask:
            distance = torch.arange(query.shape[-2])[:, None] - torch.arange(memory.shape[-2])
            mask = distance.abs() < 4 if self.mask == "boolean" else -0.1 * distance.abs().to(query)
        values = memory * 0.5
        attended = F.scaled_dot_product_attention(query, memory, values, attn_mask=mask, **self.options)
        return attended.transpose(1, 2).flatten(2) if self.together else attended


def local_state(**options: Any) -> nn.Module:
    """A LocalState of demucs with eight channels; it takes ``[B, 8, T]``."""
    from demucs.demucs import LocalState

    model: nn.Module = LocalState(8, **options)
    return model


class FeedForward(nn.Sequential):
    """The feed-forward part of a layer, with GELU."""

    def __init__(self, channels: int, hidden: int) -> None:
        """``[B, T, channels]`` to the same."""
        super().__init__(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))
