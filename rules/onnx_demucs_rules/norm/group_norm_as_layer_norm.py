"""Group normalisation as a layer normalisation without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, decompose
from onnx_demucs_compiler.targets import PTE
from onnx_demucs_rules.examples import FOR_EXECUTORCH

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten


@decompose(
    aten.group_norm.default,
    name="group-norm-as-layer-norm",
    why="ExecuTorch's group_norm adds up a row in float32 from end to end: 69 dB over a million elements, "
    "where its layer_norm keeps 138. XNNPACK has no sums, of which a norm in stages is made.",
    numerics=Numerics(min_snr_db=115),
    targets={PTE},
    tags={"norm"},
    cases=[
        # ONNX Runtime 1.25 adds up a row in float32 too: 112 dB at 65536 elements.
        Case("one-group", lambda: nn.GroupNorm(1, 16), ((2, 16, 512),), options=FOR_EXECUTORCH,
             ops={"LayerNormalization": 1, "InstanceNormalization": 0, "Reshape": 0}),
        Case("groups-without-affine", lambda: nn.GroupNorm(4, 8, affine=False), ((1, 8, 32, 64),),
             options=FOR_EXECUTORCH, ops={"LayerNormalization": 1}),
        Case("open-rows", lambda: nn.GroupNorm(2, 8), ((2, 8, 100),), fires=0, because="a size is open",
             options=FOR_EXECUTORCH | {"batch": "dynamic"}),
    ],
)  # fmt: skip
def group_norm_as_layer_norm(
    _: Site,
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,  # noqa: ARG001 - part of the operator's schema
) -> Tensor | Refusal:
    """``group_norm([B, C, …])`` → ``layer_norm([B, G, rest])``, then weight and bias by channel.

    One group is normalised as it lies, since XNNPACK copies what it reshapes.
    """
    if not all(isinstance(size, int) for size in x.shape):
        return Refusal("a size is open")
    rows = x if groups == 1 else x.reshape(x.shape[0], groups, -1)
    normalised = torch.layer_norm(rows, rows.shape[1 if groups == 1 else 2 :], eps=eps).reshape(x.shape)
    per_channel = (-1, *(1 for _ in x.shape[2:]))
    if weight is not None:
        normalised = normalised * weight.reshape(per_channel)
    return normalised if bias is None else normalised + bias.reshape(per_channel)
