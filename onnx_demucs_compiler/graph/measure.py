"""The cost of a change to a graph, in nodes and bytes."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

    from onnx_demucs_compiler.report import RuleCost


def node_count(model: ir.Model) -> int:
    """The number of nodes, those of subgraphs included."""
    return sum(1 for _ in model.graph.all_nodes())


def initializer_bytes(model: ir.Model) -> int:
    """The size of all initializers."""
    return sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)


def operator_histogram(model: ir.Model) -> dict[str, int]:
    """The number of nodes of each operator, most frequent first."""
    counts = Counter(node.op_type for node in model.graph.all_nodes())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def bytes_by_operator(model: ir.Model) -> dict[str, int]:
    """The size of the initializers that each operator takes, largest first.

    An initializer that several nodes take counts for the first of them.
    """
    sizes: Counter[str] = Counter()
    counted: set[ir.Value] = set()
    for node in model.graph.all_nodes():
        for value in node.inputs:
            if value is not None and value.const_value is not None and value not in counted:
                counted.add(value)
                sizes[node.op_type] += value.const_value.nbytes
    return dict(sizes.most_common())


@contextmanager
def accounted(model: ir.Model, cost: RuleCost) -> Iterator[None]:
    """Add the block's changes to the graph to a rule's totals."""
    nodes, size = node_count(model), initializer_bytes(model)
    if cost.nodes_before is None:
        cost.nodes_before, cost.bytes_before = nodes, size
    yield
    cost.nodes += node_count(model) - nodes
    cost.bytes += initializer_bytes(model) - size
