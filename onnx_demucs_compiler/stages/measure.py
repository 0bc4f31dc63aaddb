"""What a change to a graph cost in nodes and bytes."""

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
    """How often each operator stands in the graph, most frequent first."""
    counts = Counter(node.op_type for node in model.graph.all_nodes())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@contextmanager
def accounted(model: ir.Model, cost: RuleCost) -> Iterator[None]:
    """Add to a rule's totals what happens to the graph inside the block."""
    nodes, size = node_count(model), initializer_bytes(model)
    yield
    cost.nodes += node_count(model) - nodes
    cost.bytes += initializer_bytes(model) - size
