"""Selection before computation."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from torch import nn

from onnx_demucs_compiler.rules import Case, NotMine, Numerics, Refusal, graph_pass
from onnx_demucs_rules.known import constant, shape_of
from onnx_demucs_rules.stems.examples import Masked, Part, Separator
from onnx_demucs_rules.stems.selection_plan import piece_of, seeds_of, uses_of, worthwhile

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import GraphSite
    from onnx_demucs_rules.stems.selection import Selection
    from onnx_demucs_rules.stems.selection_plan import Plan

NAME = "select-early"
SHAPE = ((1, 2, 64),)
CHOSEN = ("select-stems",)


def decide(site: GraphSite) -> Plan | Refusal | NotMine:
    """The plan of the selections that spare work."""
    if not seeds_of(site.graph):
        return NotMine()
    return worthwhile(site.graph) or Refusal("no selection reaches a convolution or a matrix product")


@graph_pass(
    decide=decide,
    name=NAME,
    why="Stems are chosen where they come out: without this rule a graph of one stem computes the last "
    "layers, the masks and the inverse STFT of all, and drops what nobody asked for.",
    numerics=Numerics(min_snr_db=130),
    tags={"stems"},
    after=["select-stems", "select-before-concat"],
    cases=[
        Case("one-stem", Separator, SHAPE, options={"stems": ("vocals",)}, ops={"Gather": 0}, beside=CHOSEN),
        Case("two-in-another-order", Separator, SHAPE, options={"stems": ("vocals", "drums")},
             ops={"Gather": 0}, beside=CHOSEN),
        Case("the-mix-minus", Separator, SHAPE, options={"two_stems": "bass", "other_method": "minus"},
             ops={"Gather": 0}, beside=CHOSEN),
        Case("masks-and-a-table", Masked, ((2, 2, 11),), ops={"MatMul": 1, "Slice": 0, "Gather": 0}),
        Case("transposed-convolution", lambda: Part(nn.ConvTranspose1d(2, 6, 4, stride=2), nn.GELU()),
             SHAPE, ops={"Slice": 0}),
        Case("linear", lambda: Part(nn.Linear(5, 6)), ((3, 5),), ops={"Slice": 0}),
        Case("up-to-a-norm", lambda: Part(nn.Conv1d(2, 6, 3), nn.Softmax(1), nn.Conv1d(6, 6, 1)), SHAPE,
             ops={"Slice": 0, "Softmax": 1}),
        Case("norm-over-the-axis", lambda: Part(nn.Conv1d(2, 6, 3), nn.Softmax(1)), SHAPE, fires=0,
             because="no selection reaches"),
        Case("one-and-the-others", Separator, SHAPE, options={"two_stems": "bass"}, fires=0, beside=CHOSEN,
             because="no selection reaches"),
        Case("needed-whole", lambda: Part(nn.Conv1d(2, 6, 3), whole=True), SHAPE, fires=0,
             because="no selection reaches"),
        Case("grouped", lambda: Part(nn.Conv1d(2, 6, 3, groups=2)), SHAPE, fires=0,
             because="no selection reaches"),
        Case("a-trim", lambda: Part(nn.Conv1d(2, 6, 3), length=4), SHAPE, fires=0),
        Case("all", Separator, SHAPE, fires=0),
    ],
)  # fmt: skip
def select_early(site: GraphSite, plan: Plan) -> list[ir.Node]:
    """``Gather(f(x, w), i)`` → ``f(x, Gather(w, i))``, up to the weights of a convolution or a product."""
    fired: list[ir.Node] = []
    further: Plan | None = plan
    while further:
        _Surgery(site.graph, further).operate()
        fired += further.seeds
        further = worthwhile(site.graph)
    return fired


class _Surgery:
    """A plan carried out."""

    def __init__(self, graph: ir.Graph, plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        self.parts: dict[tuple[ir.Value, Selection], ir.Value] = {}
        self.numbers: dict[tuple[int, ...], ir.Value] = {}

    def operate(self) -> None:
        for node, index, value, selection in list(self.plan.ends()):
            node.replace_input_with(index, self._part(value, selection))
        for node, selection in self.plan.narrowed.items():
            self._narrow(node, selection)
        self._name_initializers()
        for seed in self.plan.seeds:
            self._drop(seed)

    def _part(self, value: ir.Value, selection: Selection) -> ir.Value:
        if (value, selection) not in self.parts:
            positions = selection.positions(shape_of(value)[selection.axis])
            assert positions is not None, "the plan is not stuck"
            make = self._cut if value.is_initializer() else self._gathered
            self.parts[value, selection] = make(value, selection.axis, positions)
        return self.parts[value, selection]

    def _cut(self, value: ir.Value, axis: int, positions: list[int]) -> ir.Value:
        assert value.const_value is not None, "an initializer has a value"
        array = np.ascontiguousarray(value.const_value.numpy().take(positions, axis))
        part = ir.Value(shape=ir.Shape(array.shape), type=value.type, const_value=ir.tensor(array))
        part.metadata_props.update(value.metadata_props)
        return part

    def _gathered(self, value: ir.Value, axis: int, positions: list[int]) -> ir.Value:
        node = self._node("Gather", value, self._constant(positions), axis=axis)
        producer = value.producer()
        if producer is None:
            self.graph.insert_before(self.graph[0], node)
        else:
            self.graph.insert_after(producer, node)
        part = node.outputs[0]
        part.type = value.type
        part.shape = ir.Shape(
            len(positions) if place == axis else size for place, size in enumerate(shape_of(value))
        )
        return part

    def _narrow(self, node: ir.Node, selection: Selection) -> None:
        if node.op_type in ("Reshape", "Expand"):
            self._restate(node, selection)
        for output in node.outputs:
            sizes = list(shape_of(output))
            sizes[selection.axis] = selection.narrowed(sizes[selection.axis])
            output.shape = ir.Shape(sizes)

    def _restate(self, node: ir.Node, selection: Selection) -> None:
        """Restate a node's shape for the part; ``-1`` keeps its meaning."""
        axis, kept = selection.axis, len(selection.indices)
        sizes = constant(node, 1)
        if sizes is not None:
            sizes[axis] = sizes[axis] if sizes[axis] < 0 else sizes[axis] * kept // selection.size
            node.replace_input_with(1, self._constant(sizes))
            return
        shape, piece = node.inputs[1], piece_of(node, axis)
        assert shape is not None, "the node is given a shape"
        assert piece is not None, "the plan has asked"
        if piece.const_value is not None and piece.const_value.numpy().item() < 0:
            return
        rank = len(shape_of(node.outputs[0]))
        factors, divisors = ([number if place == axis else 1 for place in range(rank)]
                             for number in (kept, selection.size))  # fmt: skip
        times = self._node("Mul", shape, self._constant(factors))
        by = self._node("Div", times.outputs[0], self._constant(divisors))
        self.graph.insert_before(node, [times, by])
        node.replace_input_with(1, by.outputs[0])

    def _name_initializers(self) -> None:
        """Name weights' parts: a single one as the weight, others numbered."""
        parts: dict[ir.Value, list[ir.Value]] = {}
        for (value, _), part in self.parts.items():
            if value.is_initializer():
                parts.setdefault(value, []).append(part)
        for value, cut in parts.items():
            assert value.name is not None, "an initializer has a name"
            alone = len(cut) == 1 and not uses_of(value)
            if alone:
                del self.graph.initializers[value.name]
            for part in cut:
                self._register(part, value.name if alone else self._free_name(value.name))

    def _free_name(self, name: str) -> str:
        numbered = (f"{name}.{number}" for number in itertools.count())
        return next(free for free in numbered if free not in self.graph.initializers)

    def _register(self, value: ir.Value, name: str) -> None:
        assert value.const_value is not None, "it has just been made of an array"
        value.name = value.const_value.name = name
        self.graph.register_initializer(value)

    def _constant(self, numbers: list[int]) -> ir.Value:
        key = tuple(numbers)
        if key not in self.numbers:
            array = np.array(numbers, np.int64)
            value = ir.Value(type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(array.shape))
            value.const_value = ir.tensor(array)
            self._register(value, self._free_name(NAME))
            self.numbers[key] = value
        return self.numbers[key]

    def _drop(self, seed: ir.Node) -> None:
        """Replace a selection by its input, which takes an output's name."""
        before, after = seed.outputs[0], seed.inputs[0]
        assert after is not None, "a selection selects from something"
        is_output = before.is_graph_output()
        if is_output and after.is_graph_output():
            copy = self._node("Identity", after)
            self.graph.insert_before(seed, copy)
            after = copy.outputs[0]
        before.replace_all_uses_with(after, replace_graph_outputs=True)
        self.graph.remove(seed, safe=True)
        if is_output:
            after.name, after.shape = before.name, before.shape

    def _node(self, operator: str, *inputs: ir.Value, **attributes: int) -> ir.Node:
        node = ir.node(operator, inputs, attributes=attributes)
        node.outputs[0].type, node.outputs[0].shape = inputs[0].type, inputs[0].shape
        return node
