"""Splits and Concats of few ends, in trees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from onnx_ir.tape import Tape

from onnx_demucs_compiler.graph.storage import insert_before
from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, NotMine, Refusal, graph_pass
from onnx_demucs_rules.engines.examples import ManyPieces
from onnx_demucs_rules.integers import stored_integers
from onnx_demucs_rules.known import shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx_demucs_compiler.rules import NodeSite
    from onnx_demucs_rules.known import Size

NAME = "seven-ends-at-most"

MOST = 7
"""Of the eight buffers that WebGPU guarantees a shader, the whole tensor takes one."""

NINE = """
<ir_version: 8, opset_import: ["": 18]>
nine (float[2, 9] x) => (float[2, 9] y) <int64[9] sizes = {1, 1, 1, 1, 1, 1, 1, 1, 1}>
{
    a, b, c, d, e, f, g, h, i = Split<axis = -1>(x, sizes)
    y = Concat<axis = 1>(i, h, g, f, e, d, c, b, a)
}
"""
SEVEN = """
<ir_version: 8, opset_import: ["": 18]>
seven (float[2, 7] x) => (float[2, 7] y)
{
    a, b, c, d, e, f, g = Split<axis = 1, num_outputs = 7>(x)
    y = Concat<axis = 1>(g, f, e, d, c, b, a)
}
"""
OPEN = """
<ir_version: 8, opset_import: ["": 18]>
open (float[n, 2] x) => (float[k, 2] a, float[l, 2] h) <int64[1] eight = {8}>
{
    once = Shape<end = 1>(x)
    twice = Concat<axis = 0>(x, x)
    whole = Concat<axis = 0>(twice, twice, twice, twice)
    sizes = Expand(once, eight)
    a, b, c, d, e, f, g, h = Split<axis = 0>(whole, sizes)
}
"""


def decide(site: NodeSite) -> list[Size | None] | Refusal | NotMine:
    """The sizes of too many ends; those of a Split are known."""
    node = site.node
    ends = node.inputs if node.op_type == "Concat" else node.outputs
    if len(ends) <= MOST:
        return NotMine()
    sizes = [_size(end, _axis(node)) for end in ends]
    if node.op_type == "Split" and not all(isinstance(size, int) for size in sizes):
        return Refusal("cuts into sizes that are open")
    return sizes


@graph_pass(
    decide=decide,
    on=("Concat", "Split"),
    name=NAME,
    why="WebGPU guarantees eight buffers to a shader, and a Split or Concat in ONNX Runtime takes one for "
    "each end: of more than eight, one of its two WebGPU providers gives zeros, the other throws.",
    numerics=EXACT,
    tags={"engines"},
    after=["lighter-branch-first"],
    cases=[
        Case("sixty-pieces", ManyPieces, ((2, 60),), fires=2, ops={"Split": 12, "Concat": 12}),
        GraphCase("nine", NINE, fires=2, ops={"Split": 3, "Concat": 3}),
        GraphCase("seven", SEVEN, fires=0),
        GraphCase("open-sizes", OPEN, fires=0, because="sizes that are open"),
    ],
)  # fmt: skip
def seven_ends_at_most(site: NodeSite, sizes: list[Any]) -> None:
    """``Split`` or ``Concat`` of n > 7 ends → a tree of those of at most 7."""
    if site.node.op_type == "Concat":
        _join(site.node)
    else:
        _cut(site, sizes)


def _axis(node: ir.Node) -> int:
    return node.attributes.get_int("axis", 0)


def _size(value: ir.Value | None, axis: int) -> Size | None:
    shape = shape_of(value)
    return shape[axis] if shape else None


def _groups(items: Sequence[Any]) -> list[Sequence[Any]]:
    """The fewest groups of at most :data:`MOST`, about equally large."""
    size = math.ceil(len(items) / math.ceil(len(items) / MOST))
    return [items[start : start + size] for start in range(0, len(items), size)]


def _part(of: ir.Value, axis: int, sizes: Sequence[Any]) -> ir.Value:
    """A value like another, of these sizes together along the axis."""
    part = ir.Value(type=of.type)
    if of.shape is not None:
        known = all(isinstance(size, int) for size in sizes)
        part.shape = ir.Shape(of.shape)
        part.shape[axis] = sum(sizes) if known else None
    return part


def _join(concat: ir.Node) -> None:
    tape, axis, [whole] = Tape(), _axis(concat), concat.outputs

    def joined(pieces: Sequence[ir.Value | None]) -> ir.Value:
        part = _part(whole, axis, [_size(piece, axis) for piece in pieces])
        return tape.op("Concat", pieces, {"axis": axis}, output=part)

    pieces: Sequence[ir.Value | None] = concat.inputs
    while len(pieces) > MOST:
        pieces = [joined(group) for group in _groups(pieces)]
    insert_before(concat, tape, NAME, f"{whole.name}.part")
    concat.resize_inputs(len(pieces))
    for index, piece in enumerate(pieces):
        concat.replace_input_with(index, piece)


def _cut(site: NodeSite, sizes: list[int]) -> None:
    tape, split, axis = Tape(), site.node, _axis(site.node)

    def pieces(whole: ir.Value, sizes: Sequence[int]) -> Sequence[ir.Value]:
        groups = _groups(sizes)
        if len(groups) == 1:
            inputs = [whole, stored_integers(site.model.graph, sizes)]
            outputs = [_part(whole, axis, [size]) for size in sizes]
            return tape.op_multi_out("Split", inputs, {"axis": axis}, outputs=outputs)
        parts = pieces(whole, [sum(group) for group in groups])
        return [piece for part, group in zip(parts, groups, strict=True) for piece in pieces(part, group)]

    made = pieces(site["input"], sizes)
    for old, new in zip(split.outputs, made, strict=True):
        new.name = old.name
    ir.convenience.replace_all_uses_with(split.outputs, made, replace_graph_outputs=True)
    insert_before(split, tape, NAME, f"{split.outputs[0].name}.part")
    site.graph.remove(split, safe=True)
