"""The order in which branches run that meet in the output."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING

import onnx_ir as ir
from onnx_ir.analysis import analyze_implicit_usage
from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, NotMine, Refusal, graph_pass
from onnx_demucs_compiler.targets import CPU_RUNTIMES
from onnx_demucs_rules.known import elements
from onnx_demucs_rules.layout.examples import Members, TwoBranches

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import GraphSite

# Of the nodes of a graph, the share from which on a branch counts as one.
SHARE = 1 / 20

SHAPE = ((1, 4, 32),)


def decide(site: GraphSite) -> list[ir.Node] | Refusal | NotMine:
    """The nodes in another order, where branches meet."""
    graph = _Ancestry(site.graph)
    orders = (graph.arranged(output, graph.all) for output in site.graph.outputs)
    ordered = next((order for order in orders if order), None)
    if ordered is None:
        return NotMine()
    return Refusal("the lighter branch is first already") if ordered == graph.nodes else ordered


@graph_pass(
    decide=decide,
    name="lighter-branch-first",
    why="ONNX Runtime runs the last of a graph's nodes first, with all that they need. In the order of "
    "demucs that is the decoder of the frequencies, the larger one, while all that the decoder of time needs "
    "waits: its skips and a layer of the transformer. ONNX Runtime takes 1307 MB for htdemucs without it, "
    "1072 with (default session, benchmarks/ablation.py).",
    numerics=EXACT,
    targets=CPU_RUNTIMES,
    tags={"layout", "memory"},
    after=["select-early", "waveform-interface"],
    cases=[
        Case("lighter-computed-first", lambda: TwoBranches(2, 8), SHAPE),
        Case("in-each-of-two-members", lambda: Members(TwoBranches(2, 8), TwoBranches(2, 8)), SHAPE),
        Case("heavier-computed-first", lambda: TwoBranches(8, 2), SHAPE, fires=0, because="is first already"),
        Case("one-branch", lambda: nn.Conv1d(4, 2, 3), SHAPE, fires=0),
    ],
)  # fmt: skip
def lighter_branch_first(site: GraphSite, ordered: list[ir.Node]) -> None:
    """Nodes of the branch with the largest tensor → before those of the branches that it meets."""
    site.graph.remove(ordered)
    site.graph.extend(ordered)


class _Ancestry:
    """The ancestors of each node, as numbers with a bit per node."""

    def __init__(self, graph: ir.Graph) -> None:
        """Take a graph in topological order; bodies may read outer values."""
        self.nodes = list(graph)
        self.all = (1 << len(self.nodes)) - 1
        self.of_node: dict[ir.Node, int] = {}
        read_inside = analyze_implicit_usage(graph)
        for number, node in enumerate(self.nodes):
            self.of_node[node] = 1 << number
            for value in (*node.inputs, *(value for body in _bodies(node) for value in read_inside[body])):
                self.of_node[node] |= self.of_value(value)

    def of_value(self, value: ir.Value | None) -> int:
        """The nodes that a value needs."""
        node = value.producer() if value is not None else None
        return 0 if node is None else self.of_node[node]

    def arranged(self, value: ir.Value, within: int) -> list[ir.Node] | None:
        """The nodes ``within``, branches toward ``value`` ordered by weight.

        ``None`` if no branches meet.
        """
        branches, needed = self._meeting(value, within)
        if not branches:
            return None
        shared = needed & ~_union(branches)
        ordered = self._listed(shared)
        for end, branch in sorted(branches.items(), key=lambda item: -self._largest(item[1])):
            ordered += self.arranged(end, branch) or self._listed(branch)
        return ordered + self._listed(within & ~needed)

    def _meeting(self, value: ir.Value, within: int) -> tuple[dict[ir.Value, int], int]:
        """The last branches to meet on the way to a value.

        Each is without what others need; what all need comes with them.
        """
        node = value.producer()
        while node is not None and self.of_node[node] & within:
            needs = {x: self.of_value(x) & within for x in node.inputs if x is not None}
            apart = {x: need & ~_union(needs, x) for x, need in needs.items()}
            large = {x: own for x, own in apart.items() if own.bit_count() > SHARE * within.bit_count()}
            if len(large) > 1:
                return large, _union(needs)
            node = max(needs, key=lambda x: needs[x].bit_count()).producer() if needs else None
        return {}, 0

    def _listed(self, numbers: int) -> list[ir.Node]:
        return [node for number, node in enumerate(self.nodes) if numbers >> number & 1]

    def _largest(self, numbers: int) -> int:
        values = (value for node in self._listed(numbers) for value in node.outputs)
        return max(elements(value) for value in values)


def _bodies(node: ir.Node) -> list[ir.Graph]:
    attributes = node.attributes.values()
    return [attribute.as_graph() for attribute in attributes if attribute.type == ir.AttributeType.GRAPH]


def _union(needs: dict[ir.Value, int], without: ir.Value | None = None) -> int:
    return functools.reduce(operator.or_, (need for x, need in needs.items() if x is not without), 0)
