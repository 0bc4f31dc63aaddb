"""Running sums of long rows in stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from onnx_demucs_compiler.rules import Case, ComplexPair, Numerics, Refusal, decompose
from onnx_demucs_rules.norm.examples import Accumulate, ComplexAccumulate

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten

# How many numbers are added up one after another.
BLOCK = 32


@decompose(
    aten.cumsum.default,
    name="cumsum-in-stages",
    why="ONNX Runtime's CumSum adds up in float32 from end to end, PyTorch in float64: 30 to 50 dB are lost "
    "over 16,000 to 350,000 samples, and 60 of a phase that is accumulated.",
    numerics=Numerics(min_snr_db=125),
    tags={"norm"},
    cases=[
        Case("last-axis", lambda: Accumulate(-1), ((2, 16000),), ops={"CumSum": 3}),
        Case("middle-axis", lambda: Accumulate(1), ((2, 4096, 3),), ops={"CumSum": 3}),
        Case("odd-length", lambda: Accumulate(0), ((10007, 2),)),
        Case("of-whole-numbers-in-float32", lambda: Accumulate(-1, whole=True, dtype=torch.float32),
             ((2, 5000),)),
        Case("open-batch", lambda: Accumulate(-1), ((2, 3, 5000),), options={"batch": "dynamic"}),
        Case("complex", ComplexAccumulate, ((2, 3, 5000, 2),), beside=("complex-as-real-pairs",)),
        Case("short-rows", lambda: Accumulate(-1), ((9, 32),), fires=0,
             because="rows of 32 elements are short", ops={"CumSum": 1}),
        Case("whole-numbers", lambda: Accumulate(-1, whole=True), ((2, 5000),), fires=0,
             because="the sum is taken in torch.int64", ops={"CumSum": 1}),
        Case("over-an-open-batch", lambda: Accumulate(0), ((2, 5000),), options={"batch": "dynamic"}, fires=0,
             because="the length is open"),
    ],
)  # fmt: skip
def cumsum_in_stages(
    _: Site, x: Tensor | ComplexPair, dim: int, *, dtype: torch.dtype | None = None
) -> Tensor | ComplexPair | Refusal:
    """``cumsum(x)`` → running sums of short blocks, each plus the sum of the blocks before it."""
    half = x.real if isinstance(x, ComplexPair) else x
    summed = half.dtype if dtype is None else dtype.to_real()
    if summed != torch.float32:
        return Refusal(f"the sum is taken in {summed}")
    length = x.shape[dim]
    if not isinstance(length, int):
        return Refusal("the length is open")
    if length <= BLOCK:
        return Refusal(f"rows of {length} elements are short")
    if isinstance(x, ComplexPair):
        return ComplexPair(_running(x.real, dim % x.ndim), _running(x.imag, dim % x.ndim))
    return _running(x.to(summed), dim % x.ndim)


def _running(x: Tensor, dim: int) -> Tensor:
    """Running sums in blocks, as for means (Higham, 4.2)."""
    length = x.shape[dim]
    if length <= BLOCK:
        return x.cumsum(dim)
    filled = _padded(x, dim, 0, -length % BLOCK).unflatten(dim, (-1, BLOCK))
    within = filled.cumsum(dim + 1)
    blocks = within.shape[dim]
    sums = _running(within.select(dim + 1, BLOCK - 1).narrow(dim, 0, blocks - 1), dim)
    before = _padded(sums, dim, 1, 0).unsqueeze(dim + 1)
    running: Tensor = (within + before).flatten(dim, dim + 1).narrow(dim, 0, length)
    return running


def _padded(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    return F.pad(x, [0, 0] * (x.ndim - 1 - dim) + [before, after])
