"""Arithmetic that repeats an operand by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional as F

from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, NotMine, Refusal, graph_pass

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import Tensor

    from onnx_demucs_compiler.rules import NodeSite

BROADCASTS = {"Add", "Sub", "Mul", "Div"}

EXPANDED = """
<ir_version: 8, opset_import: ["": 18]>
expanded (float[2, 3, 5] x, float[2, 1, 5] a) => (float[2, 3, 5] y) <int64[3] shape = {2, 3, 5}>
{
    b = Expand(a, shape)
    y = Div(x, b)
}
"""


class Normalised(nn.Module):
    """Vectors of length 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Along the last axis."""
        return F.normalize(x, dim=-1)


def decide(site: NodeSite) -> NotMine | Refusal | None:
    """All uses repeat by themselves, to the shape of their other operand."""
    expanded = site.node.outputs[0]
    if expanded.is_graph_output() or not expanded.uses():
        return NotMine()
    if any(use.node.op_type not in BROADCASTS for use in expanded.uses()):
        return NotMine()
    if any(not _same(expanded, use.node.inputs[1 - use.idx]) for use in expanded.uses()):
        return Refusal("the other operand has another shape, or one that is unknown")
    return None


def _same(expanded: ir.Value, other: ir.Value | None) -> bool:
    if other is None or other is expanded or other.shape is None or expanded.shape is None:
        return False
    return tuple(other.shape) == tuple(expanded.shape)


@graph_pass(
    decide=decide,
    on=("Expand",),
    name="broadcast-without-expand",
    why="F.normalize repeats the lengths of vectors before it divides by them: RoFormers normalise so in "
    "front of every layer, and ONNX Runtime writes each repetition to memory.",
    numerics=EXACT,
    tags={"layout", "speed"},
    after=["lighter-branch-first"],
    cases=[
        Case("normalize", Normalised, ((2, 3, 20),), ops={"Expand": 0, "Div": 1}),
        GraphCase("divided", EXPANDED, ops={"Expand": 0}),
        GraphCase("first-operand", EXPANDED.replace("Div(x, b)", "Sub(b, x)"), ops={"Expand": 0}),
        GraphCase("other-operand-repeated-too", EXPANDED.replace("Div(x, b)", "Mul(b, b)"), fires=0,
                  because="another shape"),
        GraphCase("joined", EXPANDED.replace("Div(x, b)", "Concat<axis = 0>(b)"), fires=0),
    ],
)  # fmt: skip
def broadcast_without_expand(site: NodeSite, _: None) -> None:
    """``x / expand(a, x.shape)`` → ``x / a``."""
    site.node.outputs[0].replace_all_uses_with(site["input"])
    site.graph.remove(site.node, safe=True)
