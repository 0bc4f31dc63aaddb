"""Attention as two products and a softmax of ATen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, decompose
from onnx_demucs_compiler.targets import PTE
from onnx_demucs_rules.attention.examples import CrossAttention, SelfAttention
from onnx_demucs_rules.examples import FOR_EXECUTORCH

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten


@decompose(
    aten.scaled_dot_product_attention.default,
    name="attention-written-out",
    why="For rows that a mask leaves nothing of, Core ATen has seven operators around the softmax for which "
    "XNNPACK has no kernels, so that the scores leave it and come back.",
    numerics=Numerics(min_snr_db=120),
    targets={PTE},
    tags={"attention"},
    cases=[
        Case("multihead", SelfAttention, ((2, 40, 32),), options=FOR_EXECUTORCH,
             ops={"Softmax": 1, "Where": 0}),
        Case("cross", CrossAttention, ((1, 4, 30, 8), (1, 4, 50, 8)), options=FOR_EXECUTORCH,
             ops={"MatMul": 2}),
        Case("scaled", lambda: CrossAttention(scale=0.5), ((1, 4, 30, 8), (1, 4, 50, 8)),
             options=FOR_EXECUTORCH),
        Case("added-mask", lambda: CrossAttention(mask="added"), ((1, 2, 9, 8), (1, 2, 7, 8)),
             options=FOR_EXECUTORCH),
        Case("boolean-mask", lambda: CrossAttention(mask="boolean"), ((1, 2, 9, 8), (1, 2, 7, 8)), fires=0,
             because="mask of truth values", options=FOR_EXECUTORCH),
        Case("causal", lambda: CrossAttention(is_causal=True), ((1, 2, 9, 8), (1, 2, 9, 8)), fires=0,
             because="causal mask", options=FOR_EXECUTORCH),
        Case("grouped-queries", lambda: CrossAttention(enable_gqa=True), ((1, 4, 9, 8), (1, 2, 9, 8)),
             fires=0, because="grouped-query", options=FOR_EXECUTORCH),
    ],
)  # fmt: skip
def attention_written_out(
    _: Site,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001 - 0 in evaluation
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | Refusal:
    """``attention(Q, K, V)`` → ``softmax(scale·Q Kᵀ + mask) V``."""
    if enable_gqa:
        return Refusal("grouped-query attention is left as it is")
    if is_causal:
        return Refusal("a causal mask is left as it is")
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        return Refusal("a mask of truth values is left as it is")
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    if attn_mask is not None:
        scores = scores + attn_mask
    attended: Tensor = torch.softmax(scores, -1) @ value
    return attended
