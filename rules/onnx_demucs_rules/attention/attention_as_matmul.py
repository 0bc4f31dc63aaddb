"""Attention as two matrix products and a softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import onnx_ir as ir
import torch
from onnxscript import opset18 as op

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, translate
from onnx_demucs_rules.attention import examples
from onnx_demucs_rules.forms import attended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.fx import Node

aten = torch.ops.aten


def refuse(node: Node) -> Refusal | None:
    """Grouped queries and a causal mask are left to torch.onnx."""
    arguments = dict(zip(_ARGUMENTS, node.args, strict=False)) | node.kwargs
    if arguments.get("enable_gqa"):
        return Refusal("grouped-query attention is left to torch.onnx")
    if arguments.get("is_causal"):
        return Refusal("a causal mask is left to torch.onnx")
    return None


_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")


@translate(
    aten.scaled_dot_product_attention.default,
    guard=refuse,
    name="attention-as-matmul",
    why="torch.onnx scales queries and keys by the root of the scale each, one pass over either; here the "
    "queries alone are scaled, as PyTorch's kernels do, with operators that every runtime has.",
    numerics=Numerics(min_snr_db=120),
    tags={"attention"},
    cases=[
        Case("multihead", examples.SelfAttention, ((2, 40, 32),), ops={"MatMul": 3, "Softmax": 1}),
        Case("cross", examples.CrossAttention, ((1, 4, 30, 8), (1, 4, 50, 8)), ops={"Softmax": 1}),
        Case("added-mask", lambda: examples.CrossAttention(mask="added"), ((1, 2, 9, 8), (1, 2, 7, 8))),
        Case("boolean-mask", lambda: examples.CrossAttention(mask="boolean"), ((1, 2, 9, 8), (1, 2, 7, 8))),
        Case("causal", lambda: examples.CrossAttention(is_causal=True), ((1, 2, 9, 8), (1, 2, 9, 8)),
             fires=0, because="causal mask"),
        Case("grouped-queries", lambda: examples.CrossAttention(enable_gqa=True),
             ((1, 4, 9, 8), (1, 2, 9, 8)), fires=0, because="grouped-query"),
    ],
)  # fmt: skip
def attention_as_matmul(
    query: ir.Value,
    key: ir.Value,
    value: ir.Value,
    attn_mask: ir.Value | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001 - 0 in evaluation
    is_causal: bool = False,  # noqa: ARG001 - refused
    scale: float | None = None,
    enable_gqa: bool = False,  # noqa: ARG001 - refused
) -> Any:
    """``softmax(scale·Q Kᵀ + mask) V`` → Mul, Transpose, MatMul, Add, Softmax, MatMul."""
    assert query.shape is not None, "an exported value has a shape"
    width = cast("int", query.shape[-1])
    factor = scale if scale is not None else 1 / math.sqrt(width)
    scores = op.MatMul(op.Mul(query, op.Constant(value_float=factor)), op.Transpose(key, perm=_swapped(key)))
    if attn_mask is not None:
        scores = op.Add(scores, _additive(attn_mask))
    return attended(op, scores, value)


def _additive(mask: ir.Value) -> Any:
    """A mask to add to scores; a boolean one selects by True."""
    if mask.dtype != ir.DataType.BOOL:
        return mask
    return op.Where(mask, op.Constant(value_float=0.0), op.Constant(value_float=-math.inf))


def _swapped(key: ir.Value) -> Sequence[int]:
    """The permutation that swaps the last two dimensions."""
    assert key.shape is not None, "an exported value has a shape"
    rank = len(key.shape)
    return [*range(rank - 2), rank - 1, rank - 2]
