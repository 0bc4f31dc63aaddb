"""Selection before joining, so that the other pieces are not computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnx_demucs_compiler.rules import EXACT, Case, NotMine, graph_pass
from onnx_demucs_rules.stems.examples import OneEach, Separator

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite


def decide(site: NodeSite) -> list[ir.Value] | NotMine:
    """The values that a Gather of a Concat amounts to."""
    concat, numbers = site["data"].producer(), site.static("indices")
    if concat is None or concat.op_type != "Concat" or numbers is None or numbers.ndim != 1:
        return NotMine()
    axis = site.node.attributes.get_int("axis", 0)
    values = [value for value in concat.inputs if value is not None and _size(value, axis) == 1]
    if len(values) < len(concat.inputs) or concat.attributes["axis"].as_int() != axis:
        return NotMine()
    return [values[number] for number in numbers]


@graph_pass(
    decide=decide,
    on=("Gather",),
    name="select-before-concat",
    why="A bag joins its members' stems before one of them is chosen: without this rule every member runs, "
    "and htdemucs_ft does four times the work that its vocals need.",
    numerics=EXACT,
    tags={"stems"},
    after=["select-stems"],
    cases=[
        Case("one-of-a-bag", OneEach, ((1, 2, 64),), options={"stems": ("vocals",)},
             ops={"Conv": 1, "Gather": 0}, beside=("select-stems",)),
        Case("two-of-a-bag", OneEach, ((1, 2, 64),), options={"stems": ("vocals", "drums")},
             ops={"Conv": 2, "Concat": 1}, beside=("select-stems",)),
        Case("the-mix-minus-one-of-a-bag", OneEach, ((1, 2, 64),), ops={"Conv": 1}, beside=("select-stems",),
             options={"two_stems": "bass", "other_method": "minus"}),
        Case("one-model", Separator, ((1, 2, 64),), fires=0,
             options={"stems": ("vocals",)}, beside=("select-stems",)),
    ],
)  # fmt: skip
def select_before_concat(site: NodeSite, pieces: list[ir.Value]) -> None:
    """``Gather(Concat(a, b, c), [2, 0])`` of pieces of size 1 → ``Concat(c, a)``."""
    gather, [chosen] = site.node, site.node.outputs
    if len(pieces) == 1 and not chosen.is_graph_output():
        chosen.replace_all_uses_with(pieces[0])
        return
    node = ir.node("Concat", pieces, attributes={"axis": gather.attributes.get_int("axis", 0)})
    ir.convenience.replace_nodes_and_values(site.graph, gather, [gather], [node], [chosen], node.outputs)


def _size(value: ir.Value, axis: int) -> object:
    return value.shape[axis] if value.shape is not None else None
