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

    def __init__(
        self, mask: str | None = None, together: bool = False, shared: bool = False, **options: Any
    ) -> None:
        """``mask`` is ``"added"``, ``"boolean"`` or ``None``; options go to the operator.

        ``together`` puts the heads of the result side by side; ``shared`` takes the memory of the first
        entry for all.
        """
        super().__init__()
        self.shared = shared
        self.mask = mask
        self.together = together
        self.options = options

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """``[B, H, T, D]`` and ``[B, H, S, D]`` to ``[B, H, T, D]``."""
        mask = None
        if self.mask:
            distance = torch.arange(query.shape[-2])[:, None] - torch.arange(memory.shape[-2])
            mask = distance.abs() < 4 if self.mask == "boolean" else -0.1 * distance.abs().to(query)
        memory = memory[:1] if self.shared else memory
        values = memory * 0.5
        attended = F.scaled_dot_product_attention(query, memory, values, attn_mask=mask, **self.options)
        return attended.transpose(1, 2).flatten(2) if self.together else attended


class Projected(nn.Module):
    """Self-attention of 12 channels, projected without bias, as in RoFormers."""

    def __init__(
        self, together: bool = True, parts_first: bool = False, bias: bool = False, keep: bool = False
    ) -> None:
        """Choose how heads come about.

        Args:
            together: by one product for queries, keys and values.
            parts_first: these are told apart after the heads.
            bias: the products have one.
            keep: the values are returned too, as they are.
        """
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(12, 3 * 24, bias)] if together else
                                    [nn.Linear(12, 24, bias) for _ in range(3)])  # fmt: skip
        self.parts_first = parts_first
        self.keep = keep

    def forward(self, x: Tensor) -> Any:
        """``[B, T, 12]`` to ``[B, T, 24]``."""
        if len(self.layers) > 1:
            query, key, value = (layer(x).unflatten(-1, (3, 8)).transpose(1, 2) for layer in self.layers)
            return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        products = self.layers[0](x).unflatten(-1, (3, 3, 8))
        if self.parts_first:
            query, key, value = products.permute(2, 0, 3, 1, 4).unbind(0)
        else:
            query, key, value = (part.transpose(1, 2) for part in products.unbind(2))
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return (attended, products[:, :, 2]) if self.keep else attended


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
