"""Group normalisation of a pointwise convolution, by its input's covariance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import Node

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, decompose
from onnx_demucs_compiler.targets import ALL, PTE
from onnx_demucs_rules.norm import staged
from onnx_demucs_rules.norm.examples import Projected

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten

CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default)
ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")

# Two channels are added to the convolution, and a covariance is computed of the others: where hardly more
# channels come out, too little is won.
LEAST_GROWTH = 4

STAGED = ("group-norm-in-stages",)


@decompose(
    aten.group_norm.default,
    name="group-norm-of-projection",
    why="The residual branches of Demucs widen 6 channels to 96 and normalise these: seven passes over the "
    "widest tensors of the model, whose mean and variance the 6 channels tell as well.",
    numerics=Numerics(min_snr_db=120),
    targets=ALL - {PTE},
    tags={"norm", "speed"},
    cases=[
        Case("projection", lambda: Projected(6, 96), ((2, 6, 3000),),
             ops={"Conv": 1, "InstanceNormalization": 0}),
        Case("two-dimensions", lambda: Projected(3, 24, dimensions=2), ((2, 3, 40, 50),), ops={"Conv": 1}),
        Case("without-affine", lambda: Projected(4, 32, affine=False), ((1, 4, 5000),), ops={"Conv": 1}),
        Case("without-bias", lambda: Projected(4, 32, bias=False), ((1, 4, 5000),), ops={"Conv": 1}),
        Case("far-from-zero", lambda: Projected(4, 32, offset=30.0), ((1, 4, 5000),), ops={"Conv": 1}),
        Case("open-batch", lambda: Projected(6, 96), ((2, 6, 3000),), options={"batch": "dynamic"}),
        Case("used-elsewhere", lambda: Projected(6, 96, keep=True), ((2, 6, 3000),), fires=0,
             beside=STAGED, because="needed as it is"),
        Case("kernel", lambda: Projected(6, 96, kernel=3), ((2, 6, 3000),), fires=0,
             beside=STAGED, because="does not look at each position by itself"),
        Case("groups", lambda: Projected(6, 96, groups=4), ((2, 6, 3000),), fires=0,
             beside=STAGED, because="4 groups"),
        Case("hardly-wider", lambda: Projected(6, 12), ((2, 6, 3000),), fires=0,
             beside=STAGED, because="12 channels of 6"),
        Case("no-convolution", lambda: torch.nn.GroupNorm(1, 4), ((2, 4, 3000),), fires=0,
             beside=STAGED, because="is not of a convolution"),
        Case("short-rows", lambda: Projected(2, 8), ((2, 2, 100),), fires=0,
             because="rows of 800 elements are short"),
    ],
)  # fmt: skip
def group_norm_of_projection(
    site: Site,
    x: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,  # noqa: ARG001 - part of the operator's schema
) -> Tensor | Refusal:
    """``norm(W·h + b)`` → ``[γW, γb, γ]·[s·h, s, -s·m] + β``, ``s`` and ``m`` from the covariance of ``h``.

    With ``h`` of mean ``h0`` and covariance ``C``, channel ``c`` of ``W·h + b`` has the mean
    ``m_c = w_c·h0 + b_c`` and the variance ``w_c·C·w_c``; over all channels that makes the mean
    ``m = mean(m_c)`` and the variance ``mean(w_c·C·w_c) + mean((m_c - m)²)`` (law of total variance).
    """
    projection = site.node.args[0]
    reason = _unsuitable(projection, x, groups)
    if reason:
        return Refusal(reason)
    assert isinstance(projection, Node), "checked"
    assert callable(projection.target), "an operator"
    given = _arguments(projection)
    hidden, matrix, offset = (_value(site, given.get(name)) for name in ("input", "weight", "bias"))
    mean, scale = _statistics(hidden.flatten(2), matrix.flatten(1), offset, eps)

    per_channel = (-1, 1, *(1 for _ in hidden.shape[2:]))
    columns = [matrix] if offset is None else [matrix, offset.reshape(per_channel)]
    columns.append(torch.ones_like(matrix[:, :1]))
    widened = torch.cat(columns, dim=1)
    if weight is not None:
        widened = weight.reshape(per_channel) * widened
    rows = [-scale * mean] if offset is None else [scale, -scale * mean]
    per_row = (hidden.shape[0], -1, *(1 for _ in hidden.shape[2:]))
    constant = torch.cat(rows, dim=1).reshape(per_row).expand(-1, -1, *hidden.shape[2:])
    scaled = hidden * scale.reshape(per_row)
    normalised: Tensor = projection.target(torch.cat([scaled, constant], dim=1), widened, bias)
    return normalised


def _statistics(hidden: Tensor, matrix: Tensor, offset: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and inverse deviation of ``matrix @ hidden + offset``, ``[B, 1, 1]`` each."""
    center = staged.mean(hidden, (2,))
    centred = hidden - center
    covariance = centred @ centred.transpose(1, 2) / hidden.shape[-1]
    # The weights on the right, where quantisers look for them.
    channels = center.transpose(1, 2) @ matrix.T
    if offset is not None:
        channels = channels + offset
    mean = channels.mean(2, keepdim=True)
    within = ((matrix.T @ matrix) * covariance).sum((1, 2), keepdim=True) / matrix.shape[0]
    apart = channels - mean
    between = (apart * apart).mean(2, keepdim=True)
    return mean, torch.rsqrt(within + between + eps)


def _unsuitable(projection: Any, x: Tensor, groups: int) -> str | None:
    if not isinstance(projection, Node) or projection.target not in CONVOLUTIONS:
        return "the norm is not of a convolution"
    given = _arguments(projection)
    matrix = given["weight"].meta["val"]
    out_channels, in_channels, *kernel = matrix.shape
    if groups != 1:
        return f"{groups} groups are normalised one by one"
    if not staged.is_long(x, tuple(range(1, x.ndim))):
        return f"rows of {staged.row_length(x, tuple(range(1, x.ndim)))} elements are short"
    if len(projection.users) > 1:
        return "the convolution's result is needed as it is"
    strided = any(step != 1 for step in given.get("stride", ()))
    padded = given.get("padding", 0) not in (0, [0], [0, 0], (0,), (0, 0))
    if math.prod(kernel) > 1 or strided or padded or given.get("groups", 1) != 1:
        return "the convolution does not look at each position by itself"
    if out_channels < LEAST_GROWTH * in_channels:
        return f"{out_channels} channels of {in_channels} are hardly more"
    return None


def _arguments(convolution: Node) -> dict[str, Any]:
    return dict(zip(ARGUMENTS, convolution.args, strict=False)) | convolution.kwargs


def _value(site: Site, argument: Any) -> Any:
    return None if argument is None else site.lowered(argument)
