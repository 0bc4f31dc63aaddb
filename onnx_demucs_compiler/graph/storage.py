"""The storage of initializers in fewer bytes than they are computed with.

The graph decodes them.

What decodes them are nodes that no input reaches, at the head of the outer graph: a runtime may fold them
when it loads the model, and the body of a loop does not run them again.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from onnx_ir.tape import Tape

from onnx_demucs_compiler.rules.rule import RULE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# What an initializer says of how it is stored; the finished file has no metadata of initializers.
STORED = "onnx_demucs.stored"

LOSSLESS = "float16, lossless"
ROUNDED = "float16, rounded"
INT8 = "int8"
COMPUTED = "int8, computed with"
FLOAT32 = "float32"
FOLDED = "float32, computed from weights"


def float_initializers(graph: ir.Graph) -> list[ir.Value]:
    """The float32 initializers that are used inside the graph only."""
    return [
        value
        for value in graph.initializers.values()
        if value.const_value is not None
        and value.const_value.dtype == ir.DataType.FLOAT
        and not value.is_graph_output()
    ]


def store_array(graph: ir.Graph, value: ir.Value, array: NDArray[Any], how: str) -> ir.Value:
    """Replace an initializer, but not its uses, by an array.

    Args:
        graph: the outer graph.
        value: the initializer that is replaced.
        array: what is stored in its place.
        how: one of this module's words for that.

    Returns:
        What is stored.
    """
    name = value.name
    assert name is not None, "an initializer has a name"
    stored = ir.Value(name=name, shape=ir.Shape(array.shape), const_value=ir.tensor(array, name=name))
    stored.dtype = ir.DataType.from_numpy(array.dtype)
    stored.metadata_props.update(value.metadata_props | {STORED: how})
    del graph.initializers[name]
    graph.register_initializer(stored)
    return stored


def encode(
    graph: ir.Graph,
    value: ir.Value,
    array: NDArray[Any],
    how: str,
    decode: Callable[[Tape, ir.Value], ir.Value],
    rule: str,
) -> None:
    """Store an array (:func:`store_array`), and give users what is decoded from it.

    Args:
        graph: the outer graph.
        value: the initializer that is replaced.
        array: what is stored in its place.
        how: one of this module's words for that.
        decode: from the stored value to the one that is computed with, by nodes on the tape.
        rule: whose nodes these are.
    """
    stored = store_array(graph, value, array, how)
    tape = Tape()
    decoded = decode(tape, stored)
    decoded.name, decoded.shape, decoded.type = f"{stored.name}.float32", value.shape, value.type
    value.replace_all_uses_with(decoded)
    insert_before(graph[0], tape, rule, f"{stored.name}.decoded")


def insert_before(node: ir.Node, tape: Tape, rule: str, prefix: str) -> None:
    """Insert the nodes of a tape into a graph before a node.

    Args:
        node: of the outer graph or of a subgraph.
        tape: the nodes.
        rule: whose they are.
        prefix: of the names of their values, which a graph and its subgraphs share and no other value has.
    """
    assert node.graph is not None, "the node stands in a graph"
    for number, made in enumerate(tape.nodes):
        made.metadata_props[RULE_KEY] = rule
        for index, value in enumerate(made.outputs):
            value.name = value.name or f"{prefix}.{number}.{index}"
    node.graph.insert_before(node, tape.nodes)


def stored_bytes(model: ir.Model) -> dict[str, int]:
    """The bytes of floating-point initializers, by their storage."""
    found: Counter[str] = Counter()
    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype != ir.DataType.INT64:
            found[value.metadata_props.get(STORED, FLOAT32)] += value.const_value.nbytes
    return dict(sorted(found.items()))
