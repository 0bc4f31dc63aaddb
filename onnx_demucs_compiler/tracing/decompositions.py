"""torch.onnx's decompositions, at the nodes that need one."""

from __future__ import annotations

import copy
import operator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch.utils._pytree as pytree
from torch._export.utils import _is_cia_op, _is_preservable_cia_op
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx import Graph, GraphModule, Node, map_arg
from torch.fx.experimental.proxy_tensor import make_fx
from torch.onnx._internal.exporter import _decomp, _fx_passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch.export import ExportedProgram
    from torch.export.graph_signature import ExportGraphSignature
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    Table = dict[Any, Callable[..., Any]]
    """Decompositions by operator."""

    Places = dict[Node, Any]
    """What stands in a new graph for the nodes of another: a node, or a list of them."""

KEPT_META = ("custom", "nn_module_stack", "stack_trace")
"""What the nodes of a decomposition have of the node that they stand for."""

_decompose_for_onnx = _fx_passes.decompose_with_registry


@contextmanager
def decomposed_node_by_node() -> Iterator[None]:
    """Let torch.onnx take apart the operators that it cannot translate.

    It would trace the whole program again, which takes longer than the translation.
    """
    with patch.object(_fx_passes, "decompose_with_registry", _decompose):
        yield


def _decompose(program: ExportedProgram, registry: ONNXRegistry) -> ExportedProgram:
    def is_known(op: Any) -> bool:
        return op is operator.getitem or registry.is_registered(op)

    def table() -> Table:
        registered = set(_decomp.get_onnx_implemented_overloads(registry))
        decompositions: Table = _decomp.create_onnx_friendly_decomposition_table(registered)
        return decompositions

    return _decomposed_by_node(program, table, is_known) or _decompose_for_onnx(program, registry)


def _decomposed_by_node(
    program: ExportedProgram, table: Callable[[], Table], is_known: Callable[[Any], bool]
) -> ExportedProgram | None:
    """The functional program that a trace would give.

    It is ``None`` where a trace is needed: where an operator writes in place, and where a size is open.
    A trace reads each open size once, and a node by itself reads those of its own again.

    Args:
        program: it is not changed.
        table: asked for the decompositions if one is needed.
        is_known: whether an operator may stay.
    """
    if program.range_constraints:
        return None
    decomposition = _Decomposition(table, is_known)
    for node in program.graph.nodes:
        decomposition.take(node)
    graph = decomposition.graph
    graph.eliminate_dead_code()
    if not all(decomposition.may_stay(node) for node in graph.nodes):
        return None
    return program._update(GraphModule(program.graph_module, graph), decomposition.signature(program))


class _Decomposition:
    """A program's graph again, named as by a trace of it.

    Attributes:
        graph: of the nodes that were taken.
    """

    def __init__(self, table: Callable[[], Table], is_known: Callable[[Any], bool]) -> None:
        self._make_table, self._is_known = table, is_known
        self.graph = Graph()
        self._places: Places = {}

    @cached_property
    def _table(self) -> Table:
        return self._make_table()

    def may_stay(self, node: Node) -> bool:
        """True if a trace would leave the node as it is."""
        if node.op != "call_function":
            return node.op != "get_attr"
        recorded = not isinstance(node.target, OpOverload) or _is_recorded(node.target)
        return recorded and self._is_known(node.target)

    def take(self, node: Node) -> None:
        """Copy a node, or what it decomposes into."""
        self._places[node] = self._taken(node, self._places)

    def _taken(self, node: Node, places: Places) -> Any:
        args: Any = node.args
        if node.target is operator.getitem and isinstance(places[args[0]], list | tuple):
            return places[args[0]][args[1]]
        if self.may_stay(node) or not _stands_alone(node):
            return self._copy(node, places)
        return self._taken_apart(node, places)

    def signature(self, program: ExportedProgram) -> ExportGraphSignature:
        """The program's own, with the names of outputs in this graph."""
        names = {node.name: place.name for node, place in self._places.items() if isinstance(place, Node)}
        signature: ExportGraphSignature = copy.copy(program.graph_signature)
        signature.output_specs = [
            replace(spec, arg=replace(spec.arg, name=names.get(spec.arg.name, spec.arg.name)))
            for spec in signature.output_specs
        ]
        return signature

    def _taken_apart(self, node: Node, places: Places) -> Any:
        read = node.all_input_nodes
        op: Any = node.target
        decomposition = self._table.get(op, op)

        def call(*given: Any) -> Any:
            known = dict(zip(read, given, strict=True))
            args, kwargs = pytree.tree_map_only(Node, known.__getitem__, (node.args, node.kwargs))
            return decomposition(*args, **kwargs)

        with _fake_mode(node):
            traced = make_fx(call, self._table)(*(source.meta["val"] for source in read))
        *body, output = traced.graph.nodes
        inner: Places = dict(zip(body, [places[source] for source in read], strict=False))
        for made in body[len(read) :]:
            made.meta |= {key: node.meta[key] for key in KEPT_META if key in node.meta}
            inner[made] = self._copy(made, inner) if made.target is op else self._taken(made, inner)
        return map_arg(output.args[0], inner.__getitem__)

    def _copy(self, node: Node, places: Places) -> Node:
        args, kwargs = map_arg((node.args, node.kwargs), places.__getitem__)
        name = getattr(node.target, "overloadpacket", node.target)
        copied = self.graph.create_node(
            node.op, node.target, args, kwargs, getattr(name, "__name__", node.name), node.type
        )
        if node.op == "placeholder":
            copied.name = node.name  # which may be that of a function of Python
        copied.meta = copy.copy(node.meta)
        return copied


def _stands_alone(node: Node) -> bool:
    """True if a node reads tensors and writes into none."""
    writes = not isinstance(node.target, OpOverload) or node.target._schema.is_mutable
    return not writes and _fake_mode(node) is not None


def _fake_mode(node: Node) -> Any:
    """The mode of the tensors that a node reads, ``None`` without."""
    values = (source.meta.get("val") for source in node.all_input_nodes)
    return next((value.fake_mode for value in values if isinstance(value, FakeTensor)), None)


def _is_recorded(op: OpOverload[..., Any]) -> bool:
    """True if a trace would record the operator itself."""
    return not op._schema.is_mutable and (not _is_cia_op(op) or _is_preservable_cia_op(op))
