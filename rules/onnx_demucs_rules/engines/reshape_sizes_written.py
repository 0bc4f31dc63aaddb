"""Reshapes that say the sizes they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, NotMine, graph_pass
from onnx_demucs_rules.integers import stored_integers
from onnx_demucs_rules.known import constant, shape_of

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

RESHAPED = """
<ir_version: 8, opset_import: ["": 18]>
reshaped (float[6, 4, 5] x) => (float[6, 1, 20] y) <int64[3] sizes = {0, 1, -1}>
{
    y = Reshape(x, sizes)
}
"""
OPEN = RESHAPED.replace("[6,", "[batch,")
TWO_OPEN = OPEN.replace("4, 5]", "4, samples]").replace("1, 20]", "1, c]")


def decide(site: NodeSite) -> list[int] | NotMine:
    """The sizes to write, where they are known and not written already."""
    asked, made = constant(site.node, 1), shape_of(site.node.outputs[0])
    if asked is None or len(made) != len(asked) or 0 in made:
        return NotMine()
    sizes = [size if isinstance(size, int) else -1 for size in made]
    return sizes if sizes.count(-1) <= 1 and sizes != asked else NotMine()


@graph_pass(
    decide=decide,
    on=("Reshape",),
    name="reshape-sizes-written",
    why="In a Reshape 0 means the size as it was and -1 what is left. onnxoptimizer, and so onnxsim and "
    "onnx2tf, take 0 for a size of the other shape and regroup axes: 34 dB, silently.",
    numerics=EXACT,
    tags={"engines"},
    after=["lighter-branch-first"],
    cases=[
        Case("group-norm", lambda: nn.GroupNorm(2, 6), ((3, 6, 5),)),
        Case("open-batch", lambda: nn.GroupNorm(2, 6), ((3, 6, 5),), options={"batch": "dynamic"}),
        GraphCase("zero-and-minus-one", RESHAPED),
        GraphCase("zero-of-an-open-size", OPEN),
        GraphCase("two-open-sizes", TWO_OPEN, fires=0),
        GraphCase("numbers", RESHAPED.replace("0, 1, -1", "6, 1, 20"), fires=0),
    ],
)  # fmt: skip
def reshape_sizes_written(site: NodeSite, sizes: list[int]) -> None:
    """``Reshape(x, [0, 1, -1])`` → ``Reshape(x, [6, 1, 20])``; one size that is open stays -1."""
    site.node.replace_input_with(1, stored_integers(site.model.graph, sizes))
    site.node.attributes.pop("allowzero", None)
