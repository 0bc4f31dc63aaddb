"""Bounds of the type of what they bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from onnx_demucs_compiler.rules import EXACT, Case, ComplexPair, decompose
from onnx_demucs_rules.activation.examples import Clamped

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten


@decompose(
    aten.clamp.default,
    name="clamp-in-one-type",
    why="torch.onnx makes a tensor of a whole number among floating-point ones, which a clamp has no place "
    "for: a model with clamp(x, -1.5, 0) does not export.",
    numerics=EXACT,
    tags={"activation"},
    cases=[
        Case("floating-and-whole", lambda: Clamped(-1.5, 0), ((2, 40),), needed=True),
        Case("floating", lambda: Clamped(-1.5, 0.5), ((2, 40),), fires=0),
        Case("one-bound", lambda: Clamped(0, None), ((2, 40),)),
    ],
)  # fmt: skip
def clamp_in_one_type(_: Site, x: Tensor | ComplexPair, *bounds: float | None, **named: float | None) -> Any:
    """``clamp(x, -1.5, 0)`` → ``clamp(x, -1.5, 0.0)``."""
    if isinstance(x, ComplexPair) or not x.is_floating_point():
        return NotImplemented
    given = dict(zip(("min", "max"), bounds, strict=False)) | named
    if not any(type(bound) is int for bound in given.values()):
        return NotImplemented
    low, high = (None if (bound := given.get(name)) is None else float(bound) for name in ("min", "max"))
    return torch.clamp(x, low, high)
