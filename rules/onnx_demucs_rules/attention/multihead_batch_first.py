"""nn.MultiheadAttention without going through ``[T, B, C]``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn import functional as F

from onnx_demucs_compiler.rules import Case, Numerics, Patch, Refusal, substitute
from onnx_demucs_rules.attention.examples import SelfAttention

if TYPE_CHECKING:
    from torch import Tensor

ATTENTION = ("attention-as-matmul",)
SHAPE = ((2, 40, 32),)


@substitute(
    name="multihead-batch-first",
    why="PyTorch transposes a batch-first input to [T, B, C] and back, and the product of all three "
    "projections once more to take it apart: copies of what is already in place.",
    numerics=Numerics(min_snr_db=130),
    tags={"attention", "memory"},
    cases=[
        Case("self", SelfAttention, SHAPE, ops={"Split": 0, "Transpose": 4}, beside=ATTENTION),
        Case("without-bias", lambda: SelfAttention(bias=False), SHAPE, beside=ATTENTION),
        Case("open-batch", SelfAttention, SHAPE, options={"batch": "dynamic"}, beside=ATTENTION),
        Case("time-first", lambda: SelfAttention(batch_first=False), SHAPE, fires=0,
             because="is not batch-first"),
        Case("keys-of-their-own", lambda: SelfAttention(kdim=32, vdim=32, add_bias_kv=True), SHAPE, fires=0,
             because="is not batch-first, or has keys of its own"),
        Case("not-attention", lambda: nn.Linear(8, 8), ((2, 8),), fires=0),
    ],
)  # fmt: skip
def multihead_batch_first(module: nn.Module) -> list[Patch] | Refusal:
    """``[B, T, C]`` → ``[T, B, C]`` → one projection → three: three projections of ``[B, T, C]``."""
    children = [child for child in module.modules() if type(child) is nn.MultiheadAttention]
    layers = [child for child in children if "forward" not in vars(child)]
    plain = [layer for layer in layers if _is_plain(layer)]
    if layers and not plain:
        return Refusal("the model's nn.MultiheadAttention is not batch-first, or has keys of its own")
    return [Patch(layer, "forward", functools.partial(_forward, layer)) for layer in plain]


def _is_plain(layer: nn.MultiheadAttention) -> bool:
    own_keys = layer.bias_k is not None or layer.bias_v is not None or layer.add_zero_attn
    return layer.batch_first and layer._qkv_same_embed_dim and not own_keys


def _forward(
    layer: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """``nn.MultiheadAttention.forward`` on ``[B, T, C]``, for calls without a mask.

    With a mask the layer runs itself.
    """
    if need_weights or key_padding_mask is not None or attn_mask is not None or query.ndim != 3:
        result: tuple[Tensor, Tensor | None] = nn.MultiheadAttention.forward(
            layer, query, key, value, key_padding_mask, need_weights, attn_mask, **options
        )
        return result
    assert layer.in_proj_weight is not None, "the rule has looked"
    weights = layer.in_proj_weight.chunk(3)
    biases = (None, None, None) if layer.in_proj_bias is None else layer.in_proj_bias.chunk(3)
    queries, keys, values = (
        F.linear(x, weight, bias).unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
        for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )
    attended = F.scaled_dot_product_attention(queries, keys, values)
    return layer.out_proj(attended.transpose(1, 2).flatten(2)), None
