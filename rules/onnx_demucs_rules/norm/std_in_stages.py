"""Variance and standard deviation of long rows in stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, decompose
from onnx_demucs_rules.norm import staged
from onnx_demucs_rules.norm.examples import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten


@decompose(
    aten.std.correction,
    aten.std.dim,
    aten.var.correction,
    aten.var.dim,
    name="std-in-stages",
    why="Demucs divides its input by the standard deviation of 2.7 million elements, which ONNX Runtime "
    "would add up in float32 from end to end.",
    numerics=Numerics(min_snr_db=125),
    tags={"norm"},
    cases=[
        Case("all-but-batch", lambda: Scale((1, 2)), ((2, 3, 8192),)),
        Case("dimension-dropped", lambda: Scale((-1,), keepdim=False), ((3, 10000),)),
        Case("variance-of-everything", lambda: Scale(None, squared=True), ((3, 10000),)),
        Case("biased", lambda: Scale((1,), correction=0), ((3, 2500),)),
        Case("short-rows", lambda: Scale((-1,)), ((3, 500),), fires=0,
             because="rows of 500 elements are short"),
    ],
)  # fmt: skip
def std_in_stages(
    site: Site, x: Tensor, dim: Sequence[int] | None = None, *unbiased: bool, **options: Any
) -> Tensor | Refusal:
    """``std(x, dim)`` → the root of the centred values' mean square, in stages, times ``n / (n - c)``."""
    dims = tuple(dim) if dim else tuple(range(x.ndim))
    count = staged.row_length(x, dims)
    if not staged.is_long(x, dims):
        return Refusal(f"rows of {count} elements are short")
    lost, keepdim = _correction(*unbiased, **options)
    variance = staged.variance(x - staged.mean(x, dims), dims) * _unbiasing(x, count, lost)
    result = variance if site.op in (aten.var.correction, aten.var.dim) else torch.sqrt(variance)
    return result if keepdim else result.squeeze(dims)


def _unbiasing(x: Tensor, count: int, lost: float) -> float | Tensor:
    if isinstance(count, int):
        return count / (count - lost)
    of_open_size = torch.scalar_tensor(count, dtype=x.dtype)
    return of_open_size / (of_open_size - lost)


def _correction(
    unbiased: bool = True, keepdim: bool = False, correction: float | None = None
) -> tuple[float, bool]:
    """Bessel's correction and ``keepdim``, for either overload."""
    return (float(unbiased) if correction is None else correction), keepdim
