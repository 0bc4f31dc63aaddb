"""GELU in the order that runtimes recognise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from onnxscript import opset18 as op
from torch import nn

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, translate
from onnx_demucs_rules.forms import GELU, gelu

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch.fx import Node

aten = torch.ops.aten


def refuse(node: Node) -> Refusal | None:
    """The approximation by tanh is left to torch.onnx."""
    if node.kwargs.get("approximate", "none") != "none":
        return Refusal("the approximation by tanh is left to torch.onnx")
    return None


@translate(
    aten.gelu.default,
    guard=refuse,
    name="gelu-for-fusion",
    why="torch.onnx halves 1 + erf first, an order that ONNX Runtime does not recognise: five passes over "
    "the tensor in place of one.",
    numerics=Numerics(min_snr_db=130),
    tags={"activation", "speed"},
    cases=[
        Case("exact", nn.GELU, ((2, 40, 32),), ops={"Erf": 1, "Mul": 2}),
        Case("tanh", lambda: nn.GELU("tanh"), ((2, 40),), fires=0, because="approximation by tanh",
             ops={"Erf": 0}),
    ],
)  # fmt: skip
def gelu_for_fusion(x: ir.Value, approximate: str = "none") -> Any:  # noqa: ARG001 - others are refused
    """``x · Φ(x)`` → ``(x · (1 + erf(x / √2))) · ½``."""
    return gelu(op, x, lambda name: op.Constant(value_float=GELU[name]))
