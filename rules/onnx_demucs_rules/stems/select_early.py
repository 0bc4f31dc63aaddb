"""Computing what is chosen, in place of choosing from what has been computed."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes
from torch import nn

from onnx_demucs_compiler.rule import Case, Numerics, Refusal, graph_pass
from onnx_demucs_compiler.stages.decompose import RULE_KEY
from onnx_demucs_rules.stems.examples import Masked, Part, Separator
from onnx_demucs_rules.stems.selection import Selection, constant, selections, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.options import Options

    Seeds = dict[ir.Node, Selection]

NAME = "select-early"
SHAPE = ((1, 2, 64),)
CHOSEN = ("chosen-stems",)
PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


@graph_pass(
    name=NAME,
    why="Stems are chosen where they come out: without this rule a graph of one stem computes the last "
    "layers, the masks and the inverse STFT of all, and drops what nobody asked for.",
    numerics=Numerics(min_snr_db=120),
    tags={"stems"},
    after=["chosen-stems", "select-pieces"],
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
        Case("a-trim", lambda: Part(nn.Conv1d(2, 6, 3), length=4), SHAPE, fires=0,
             because="nothing selects a part"),
        Case("all", Separator, SHAPE, fires=0, because="nothing selects a part"),
    ],
)  # fmt: skip
def select_early(model: ir.Model, options: Options) -> int | Refusal:  # noqa: ARG001 - a pass takes both
    """``Gather(f(x, w), i)`` → ``f(x, Gather(w, i))``, up to the weights of a convolution or a product."""
    if not _seeds(model.graph):
        return Refusal("nothing selects a part by constant indices")
    fired = 0
    while plan := _worthwhile(model.graph):
        _Surgery(model.graph, plan).operate()
        fired += len(plan.seeds)
    passes.RemoveUnusedNodesPass()(model)
    return fired or Refusal("no selection reaches a convolution or a matrix product")


def _seeds(graph: ir.Graph) -> Seeds:
    """The nodes that select, and what they do."""
    return {node: selection for node in graph if (selection := _selected(node)) is not None}


def _selected(node: ir.Node) -> Selection | None:
    """A Gather of fewer, or a Slice of at most half: one that takes more is a trim and not a choice."""
    if node.op_type not in ("Gather", "Slice") or not (shape := shape_of(node.inputs[0])):
        return None
    constants = [constant(node, index) for index in range(1, len(node.inputs))]
    if any(numbers is None for numbers in constants):
        return None
    first, *others = (numbers for numbers in constants if numbers is not None)
    if node.op_type == "Gather":
        axis, share = node.attributes.get_int("axis", 0) % len(shape), 1
    elif len(first) == 1 and len(others) > 1:
        axis, share = others[1][0] % len(shape), 2
    else:
        return None
    size = shape[axis]
    if not isinstance(size, int):
        return None
    if node.op_type == "Slice":
        first = list(range(size))[slice(first[0], others[0][0], others[2][0] if len(others) > 2 else 1)]
    if not 0 < len(first) * share <= size - (share == 1):
        return None
    return Selection(axis, size, tuple(index % size for index in first))


class _Plan:
    """How far selections can be carried up a graph.

    Attributes:
        seeds: the nodes that select.
        wanted: what is wanted of the inputs of nodes, where not all of it.
        narrowed: the nodes that will compute no more than what is wanted of them.
    """

    def __init__(self, graph: ir.Graph, seeds: Seeds, barred: set[ir.Node]) -> None:
        self.seeds = seeds
        self.wanted: dict[tuple[ir.Node, int], Selection] = {}
        self.narrowed: dict[ir.Node, Selection] = {}
        for node in reversed(graph):
            if node in seeds:
                self.wanted[node, 0] = seeds[node]
            elif node not in barred and (wanted := self._of_all_uses(node)) is not None:
                self._carry(node, wanted)

    def _of_all_uses(self, node: ir.Node) -> Selection | None:
        """What all who use a node want of it, if they agree."""
        wishes = {self.wanted.get(use) for output in node.outputs for use in _uses(output)}
        if len(wishes) != 1 or any(output.is_graph_output() for output in node.outputs):
            return None
        return wishes.pop()

    def _carry(self, node: ir.Node, wanted: Selection) -> None:
        inputs = selections(node, wanted)
        if inputs is None or not _can_be_restated(node, wanted.axis):
            return
        self.narrowed[node] = wanted
        self.wanted |= {(node, index): selection for index, selection in inputs.items()}

    def ends(self) -> Iterator[tuple[ir.Node, int, ir.Value, Selection]]:
        """Where a selection goes no further: node, input, the input's value, what is wanted of it."""
        for (node, index), selection in self.wanted.items():
            value = node.inputs[index]
            assert value is not None, "something is wanted of it"
            if value.producer() not in self.narrowed and node not in self.seeds:
                yield node, index, value, selection

    def stuck(self) -> set[ir.Node]:
        """Nodes that would need positions along an axis of open size."""
        return {
            node
            for node, _, value, selection in self.ends()
            if selection.positions(shape_of(value)[selection.axis]) is None
        }

    def rewarding(self, graph: ir.Graph) -> Seeds:
        """The seeds that spare a convolution or a product some of its work."""
        rewarding: set[ir.Node] = set()
        for node in graph:
            producers = {
                value.producer()
                for index, value in enumerate(node.inputs)
                if value is not None and (node, index) in self.wanted
            }
            spares = node in self.narrowed and node.op_type in PRODUCTS
            if spares or producers & rewarding & self.narrowed.keys():
                rewarding.add(node)
        return {node: selection for node, selection in self.seeds.items() if node in rewarding}


def _worthwhile(graph: ir.Graph) -> _Plan | None:
    """The plan of the selections that are worth it, carried as far as they can be."""
    seeds, barred = _seeds(graph), set[ir.Node]()
    while seeds:
        plan = _Plan(graph, seeds, barred)
        stuck, rewarding = plan.stuck(), plan.rewarding(graph)
        if not stuck and len(rewarding) == len(seeds):
            return plan
        barred |= stuck
        seeds = seeds if stuck else rewarding
    return None


def _can_be_restated(node: ir.Node, axis: int) -> bool:
    """Whether the shape that a node is given, if it is, can be given as that of a part."""
    if node.op_type not in ("Reshape", "Expand"):
        return True
    sizes = constant(node, 1)
    return 0 not in sizes if sizes is not None else _piece(node, axis) is not None


def _piece(node: ir.Node, axis: int) -> ir.Value | None:
    """The entry of a computed shape that stands for an axis."""
    shape = node.inputs[1]
    concat = shape.producer() if shape is not None else None
    if concat is None or concat.op_type != "Concat" or any(shape_of(item) != (1,) for item in concat.inputs):
        return None
    return concat.inputs[axis]


def _uses(value: ir.Value) -> list[tuple[ir.Node, int]]:
    """Who uses a value, but for nodes that a rewrite has taken out of the graph and left connected."""
    return [(use.node, use.idx) for use in value.uses() if use.node.graph is not None]


class _Surgery:
    """A plan carried out."""

    def __init__(self, graph: ir.Graph, plan: _Plan) -> None:
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
        """Give a node the shape of the part; ``-1`` still stands for what is left."""
        axis, kept = selection.axis, len(selection.indices)
        sizes = constant(node, 1)
        if sizes is not None:
            sizes[axis] = sizes[axis] if sizes[axis] < 0 else sizes[axis] * kept // selection.size
            node.replace_input_with(1, self._constant(sizes))
            return
        shape, piece = node.inputs[1], _piece(node, axis)
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
        """A weight of which one part is left is that part; parts of one that others use are numbered."""
        parts: dict[ir.Value, list[ir.Value]] = {}
        for (value, _), part in self.parts.items():
            if value.is_initializer():
                parts.setdefault(value, []).append(part)
        for value, cut in parts.items():
            assert value.name is not None, "an initializer has a name"
            alone = len(cut) == 1 and not _uses(value)
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
        """What is selected from takes the place of the selection, and its name where that is an output."""
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
        node = ir.node(operator, inputs, attributes=attributes, metadata_props={RULE_KEY: NAME})
        node.outputs[0].type, node.outputs[0].shape = inputs[0].type, inputs[0].shape
        return node
