"""Choosing among what is about to be joined, so that nothing else is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
from onnx_ir.passes import common as passes

from onnx_demucs_compiler.rule import EXACT, Case, Refusal, graph_pass
from onnx_demucs_compiler.stages.decompose import RULE_KEY
from onnx_demucs_rules.stems.examples import OneEach, Separator

if TYPE_CHECKING:
    from onnx_demucs_compiler.options import Options

NAME = "select-pieces"


@graph_pass(
    name=NAME,
    why="A bag joins its members' stems before one of them is chosen: without this rule every member runs, "
    "and htdemucs_ft does four times the work that its vocals need.",
    numerics=EXACT,
    tags={"stems"},
    after=["chosen-stems"],
    cases=[
        Case("one-of-a-bag", OneEach, ((1, 2, 64),), options={"stems": ("vocals",)},
             ops={"Conv": 1, "Gather": 0}, beside=("chosen-stems",)),
        Case("two-of-a-bag", OneEach, ((1, 2, 64),), options={"stems": ("vocals", "drums")},
             ops={"Conv": 2, "Concat": 1}, beside=("chosen-stems",)),
        Case("the-mix-minus-one-of-a-bag", OneEach, ((1, 2, 64),), ops={"Conv": 1}, beside=("chosen-stems",),
             options={"two_stems": "bass", "other_method": "minus"}),
        Case("one-model", Separator, ((1, 2, 64),), fires=0, because="nothing is chosen from what is joined",
             options={"stems": ("vocals",)}, beside=("chosen-stems",)),
    ],
)  # fmt: skip
def select_pieces(model: ir.Model, options: Options) -> int | Refusal:  # noqa: ARG001 - a pass takes both
    """``Gather(Concat(a, b, c), [2, 0])`` of pieces of size 1 → ``Concat(c, a)``."""
    gathers = [node for node in model.graph if node.op_type == "Gather"]
    chosen = [(node, pieces) for node in gathers if (pieces := _pieces(node))]
    if not chosen:
        return Refusal("nothing is chosen from what is joined piece by piece")
    for node, pieces in chosen:
        _join(model.graph, node, pieces)
    passes.RemoveUnusedNodesPass()(model)
    return len(chosen)


def _pieces(gather: ir.Node) -> list[ir.Value]:
    """The values that a Gather comes down to; none where it does not."""
    joined, indices = gather.inputs
    concat = joined.producer() if joined is not None else None
    if concat is None or concat.op_type != "Concat" or indices is None or indices.const_value is None:
        return []
    axis = gather.attributes.get_int("axis", 0)
    values = [value for value in concat.inputs if value is not None and _size(value, axis) == 1]
    numbers = indices.const_value.numpy()
    if len(values) < len(concat.inputs) or concat.attributes["axis"].as_int() != axis or numbers.ndim != 1:
        return []
    return [values[number] for number in numbers]


def _size(value: ir.Value, axis: int) -> object:
    return value.shape[axis] if value.shape is not None else None


def _join(graph: ir.Graph, gather: ir.Node, pieces: list[ir.Value]) -> None:
    before, axis = gather.outputs[0], gather.attributes.get_int("axis", 0)
    if len(pieces) == 1 and not before.is_graph_output():
        before.replace_all_uses_with(pieces[0])
    else:
        node = ir.node("Concat", pieces, attributes={"axis": axis}, metadata_props={RULE_KEY: NAME})
        graph.insert_before(gather, node)
        after = node.outputs[0]
        after.shape, after.type, after.name = before.shape, before.type, before.name
        before.replace_all_uses_with(after, replace_graph_outputs=True)
    graph.remove(gather, safe=True)
