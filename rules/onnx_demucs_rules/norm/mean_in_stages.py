"""Means of long rows in stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, decompose
from onnx_demucs_rules.norm import staged
from onnx_demucs_rules.norm.examples import Centre

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten


@decompose(
    aten.mean.dim,
    name="mean-in-stages",
    why="Demucs centres its input on the mean of 2.7 million elements; ONNX Runtime's ReduceMean adds "
    "them up in float32 from end to end.",
    numerics=Numerics(min_snr_db=125),
    tags={"norm"},
    after=["complex-as-real-pairs"],
    cases=[
        Case("all-but-batch", lambda: Centre((1, 2)), ((2, 3, 8192),)),
        Case("dimension-dropped", lambda: Centre((-1,), keepdim=False), ((3, 10000),)),
        Case("short-rows", lambda: Centre((-1,)), ((3, 500),), fires=0,
             because="rows of 500 elements are short"),
    ],
)  # fmt: skip
def mean_in_stages(
    _: Site, x: Tensor, dim: Sequence[int] | None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor | Refusal:
    """``mean(x, dim)`` → one mean per dimension, a long one in two stages."""
    dims = tuple(dim) if dim else tuple(range(x.ndim))
    if dtype not in (None, x.dtype) or not x.is_floating_point():
        return Refusal(f"the mean of {x.dtype} is asked for in {dtype}")
    if not staged.is_long(x, dims):
        return Refusal(f"rows of {staged.row_length(x, dims)} elements are short")
    mean = staged.mean(x, dims)
    return mean if keepdim else mean.squeeze(dims)
