"""Quotients of open sizes, rounded down below zero too."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from onnxscript import opset18 as op
from torch import nn
from torch.nn import functional as F

from onnx_demucs_compiler.rules import EXACT, Case, translate

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import Tensor


class Filled(nn.Module):
    """Silence up to a multiple of four samples, counted as -(-n // 4)."""

    def forward(self, mix: Tensor) -> Tensor:
        """``[B, C, N]`` to ``[B, C, n]``."""
        samples = mix.shape[-1]
        return F.pad(mix, (0, -(-samples // 4) * 4 - samples)) * 0.5


@translate(
    operator.floordiv,
    name="sizes-rounded-down",
    why="Python rounds quotients of whole numbers down, ONNX towards zero, and torch.onnx writes the one as "
    "the other: an open size that is counted as -(-n // 4) would be one too small.",
    numerics=EXACT,
    tags={"tracing"},
    cases=[
        Case("below-zero", Filled, ((1, 2, 44),), options={"length": "dynamic"}, ops={"Mod": 1}),
        Case("no-open-size", Filled, ((1, 2, 45),), fires=0),
    ],
)  # fmt: skip
def sizes_rounded_down(dividend: ir.Value, divisor: ir.Value) -> Any:
    """``Div(a, b)`` → ``Div(a - Mod(a, b), b)``: the remainder has the sign of the divisor."""
    return op.Div(op.Sub(dividend, op.Mod(dividend, divisor)), divisor)
