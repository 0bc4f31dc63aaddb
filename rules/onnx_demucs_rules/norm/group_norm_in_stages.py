"""Group normalisation that sums in stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from onnx_demucs_compiler.rules import Case, Numerics, decompose
from onnx_demucs_compiler.targets import ALL, PTE
from onnx_demucs_rules.norm import staged

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten


@decompose(
    aten.group_norm.default,
    name="group-norm-in-stages",
    why="torch.onnx makes InstanceNormalization of it, which ONNX Runtime sums in float32 from end to "
    "end: 60 to 80 dB over a million elements, where PyTorch keeps 145. Short rows go the same way: OpenCV "
    "does not load the InstanceNormalization of [N, 1, L] that they would be.",
    numerics=Numerics(min_snr_db=125),
    targets=ALL - {PTE},
    tags={"norm"},
    after=["group-norm-of-projection"],
    cases=[
        Case("one-group", lambda: nn.GroupNorm(1, 16), ((2, 16, 4096),), ops={"InstanceNormalization": 0}),
        Case("groups-without-affine", lambda: nn.GroupNorm(4, 8, affine=False), ((1, 8, 32, 64),),
             ops={"InstanceNormalization": 0}),
        Case("prime-length", lambda: nn.GroupNorm(1, 2), ((1, 2, 10007),), ops={"InstanceNormalization": 0}),
        Case("short-rows", lambda: nn.GroupNorm(2, 8), ((2, 8, 100),), ops={"InstanceNormalization": 0}),
        Case("norm-of-instances", lambda: nn.InstanceNorm1d(8), ((2, 8, 100),), fires=0,
             ops={"InstanceNormalization": 1}),
    ],
)  # fmt: skip
def group_norm_in_stages(
    _: Site,
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,  # noqa: ARG001 - part of the operator's schema
) -> Tensor:
    """``[B, C, …]`` → ``(x - mean) · (weight / sqrt(variance + eps)) + bias``, both means in stages."""
    channels, *spatial = x.shape[1:]
    grouped = x.reshape(x.shape[0], groups, channels // groups, *spatial)
    rows = tuple(range(2, grouped.ndim))
    centred = grouped - staged.mean(grouped, rows)
    scale = torch.rsqrt(staged.variance(centred, rows) + eps)
    per_channel = (groups, channels // groups, *(1 for _ in spatial))
    if weight is not None:
        scale = scale * weight.reshape(per_channel)
    normalised = centred * scale
    if bias is not None:
        normalised = normalised + bias.reshape(per_channel)
    return normalised.reshape(x.shape)
