"""The places in an ONNX graph that rules are asked about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import onnx

from onnx_demucs_compiler.tracing.source import Origin, origin_in_graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_ir as ir
    from numpy.typing import NDArray

    from onnx_demucs_compiler.options import Options

VARIADIC = onnx.defs.OpSchema.FormalParameterOption.Variadic


class NotMine:
    """A rule's answer where it has nothing to look at."""


@dataclass(frozen=True)
class GraphSite:
    """A whole graph.

    Attributes:
        model: the model whose graph it is.
        options: compiled for.
    """

    model: ir.Model
    options: Options

    @property
    def graph(self) -> ir.Graph:
        """The outer graph."""
        return self.model.graph

    def arguments(self, node: ir.Node) -> dict[str, ir.Value | None]:
        """The inputs of a node by the names of its operator's schema.

        One that is left out is ``None``. Those of a parameter that takes any number are not among them, and
        none are where ONNX knows no such operator.
        """
        version = self.model.opset_imports.get(node.domain, 1)
        if not onnx.defs.has(node.op_type, version, node.domain):
            return {}
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
        single = [item.name for item in schema.inputs if item.option != VARIADIC]
        return dict.fromkeys(single) | dict(zip(single, node.inputs, strict=False))


@dataclass(frozen=True)
class NodeSite(GraphSite):
    """A node, and the values around it by name.

    Attributes:
        node: the last node of what a pattern matched, or the only one.
        values: those that the pattern names, as its parameters or by ``_outputs``; without a pattern, the
            node's inputs by the names of the operator's schema. An input that is left out is ``None``.
    """

    node: ir.Node
    values: Mapping[str, ir.Value | None]

    @cached_property
    def graph(self) -> ir.Graph:
        """The graph that the node stands in: perhaps a loop's body."""
        graph = self.node.graph
        assert graph is not None, "the node stands in a graph"
        return graph

    @property
    def origin(self) -> Origin:
        """The node's name, and the model's line and module."""
        return origin_in_graph(self.node)

    def __getitem__(self, name: str) -> ir.Value:
        """The value of a name.

        Raises:
            KeyError: there is none.
        """
        value = self.values[name]
        if value is None:
            raise KeyError(f"{name} is left out")
        return value

    def get(self, name: str) -> ir.Value | None:
        """The value of a name; ``None`` where it is left out."""
        return self.values.get(name)

    def maker(self, name: str) -> ir.Node:
        """The node that computes a value.

        Raises:
            KeyError: no node does; it is an input or an initializer.
        """
        node = self[name].producer()
        if node is None:
            raise KeyError(f"no node computes {name}")
        return node

    def shape(self, name: str) -> tuple[int | ir.SymbolicDim, ...] | None:
        """The sizes of a value; ``None`` where unknown."""
        shape = self[name].shape
        return None if shape is None else tuple(shape)

    def static(self, name: str) -> NDArray[Any] | None:
        """The numbers of a constant value; ``None`` for others."""
        constant = self[name].const_value
        return None if constant is None else constant.numpy()
