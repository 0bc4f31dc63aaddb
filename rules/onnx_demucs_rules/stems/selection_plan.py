"""The plan of selections: their paths up a graph, and their worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_rules.known import constant, shape_of
from onnx_demucs_rules.stems.selection import Selection, selections

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

    from onnx_demucs_rules.known import Size

    Seeds = dict[ir.Node, Selection]

PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def seeds_of(graph: ir.Graph) -> Seeds:
    """The nodes that select, and what they do."""
    return {node: selection for node in graph if (selection := _selected(node)) is not None}


def _selected(node: ir.Node) -> Selection | None:
    """The selection of a Gather, or of a Slice below half.

    The edges that a reflection turns round are none.
    """
    if node.op_type not in ("Gather", "Slice") or not (shape := shape_of(node.inputs[0])):
        return None
    constants = [constant(node, index) for index in range(1, len(node.inputs))]
    numbers = [values for values in constants if values is not None]
    if len(numbers) < len(constants):
        return None
    if node.op_type == "Gather":
        return _some(shape, node.attributes.get_int("axis", 0), slice(None), numbers[0])
    if len(numbers) < 3 or len(numbers[2]) != 1:
        return None
    [start], [end], [axis], *steps = numbers
    selected = _some(shape, axis, slice(start, end, *(step[0] for step in steps)))
    if selected is None or 2 * len(selected.indices) > selected.size:
        return None
    return None if any(_runs_backwards(use.node) for use in node.outputs[0].uses()) else selected


def _runs_backwards(node: ir.Node) -> bool:
    return node.op_type == "Slice" and (constant(node, 4) or [1])[0] < 0


def _some(
    shape: tuple[Size, ...], axis: int, bounds: slice, indices: list[int] | None = None
) -> Selection | None:
    """Some of an axis, by indices or slice; ``None`` if not some."""
    axis %= len(shape)
    size = shape[axis]
    if not isinstance(size, int):
        return None
    chosen = range(size)[bounds] if indices is None else [index % size for index in indices]
    return Selection(axis, size, tuple(chosen)) if 0 < len(chosen) < size else None


class Plan:
    """The reach of selections up a graph.

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
        """The part that all users of a node want, if they agree."""
        wishes = {self.wanted.get(use) for output in node.outputs for use in uses_of(output)}
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
        """The ends of a selection: node, input, its value, the part wanted."""
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
        """The seeds that spare a convolution or a product some work."""
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


def worthwhile(graph: ir.Graph) -> Plan | None:
    """The plan of the worthwhile selections, carried as far as possible."""
    seeds = seeds_of(graph)
    barred: set[ir.Node] = set()
    while seeds:
        plan = Plan(graph, seeds, barred)
        stuck, rewarding = plan.stuck(), plan.rewarding(graph)
        if not stuck and len(rewarding) == len(seeds):
            return plan
        barred |= stuck
        seeds = seeds if stuck else rewarding
    return None


def _can_be_restated(node: ir.Node, axis: int) -> bool:
    """True if a node's explicit shape, if any, fits a part."""
    if node.op_type not in ("Reshape", "Expand"):
        return True
    sizes = constant(node, 1)
    return 0 not in sizes if sizes is not None else piece_of(node, axis) is not None


def piece_of(node: ir.Node, axis: int) -> ir.Value | None:
    """The entry of a computed shape that stands for an axis."""
    shape = node.inputs[1]
    concat = shape.producer() if shape is not None else None
    if concat is None or concat.op_type != "Concat" or any(shape_of(item) != (1,) for item in concat.inputs):
        return None
    return concat.inputs[axis]


def uses_of(value: ir.Value) -> list[tuple[ir.Node, int]]:
    """The users of a value, without nodes that rewrites left behind."""
    return [(use.node, use.idx) for use in value.uses() if use.node.graph is not None]
