"""Layer normalisation of long rows that sums in stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, decompose
from onnx_demucs_compiler.targets import ALL, PTE
from onnx_demucs_rules.norm import staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten


@decompose(
    aten.layer_norm.default,
    name="layer-norm-in-stages",
    why="ONNX Runtime's LayerNormalization sums a row in float32 from end to end: 67 to 88 dB over a "
    "million elements.",
    numerics=Numerics(min_snr_db=125),
    targets=ALL - {PTE},
    tags={"norm"},
    cases=[
        Case("long-rows", lambda: nn.LayerNorm([32, 128]), ((2, 32, 128),), ops={"LayerNormalization": 0}),
        Case("long-rows-without-affine", lambda: nn.LayerNorm(4096, elementwise_affine=False), ((3, 4096),),
             ops={"LayerNormalization": 0}),
        Case("short-rows", lambda: nn.LayerNorm(512), ((2, 9, 512),), fires=0,
             because="rows of 512 elements are short", ops={"LayerNormalization": 1}),
    ],
)  # fmt: skip
def layer_norm_in_stages(
    _: Site,
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,  # noqa: ARG001 - part of the operator's schema
) -> Tensor | Refusal:
    """``[…, *normalized_shape]`` → ``(x - mean) / sqrt(variance + eps) · weight + bias`` in stages."""
    rows = tuple(range(x.ndim - len(normalized_shape), x.ndim))
    if not staged.is_long(x, rows):
        return Refusal(f"rows of {staged.row_length(x, rows)} elements are short")
    centred = x - staged.mean(x, rows)
    normalised = centred * torch.rsqrt(staged.variance(centred, rows) + eps)
    if weight is not None:
        normalised = normalised * weight
    return normalised if bias is None else normalised + bias
