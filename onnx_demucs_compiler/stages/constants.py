"""Values that depend on no input, evaluated before the trace for rules.

Position embeddings, windows and index tables come out as plain constants, and the operators that made
them (Sin, Cos, ScatterND, Range) never reach ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.fx import Interpreter

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.tracing.source import failures_named, source_line

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

# A constant may be this much larger than what it is made of before it is left for the runtime to expand.
GROWTH_LIMIT = 1 << 20


@dataclass(frozen=True)
class ComplexName:
    """The two attributes that hold a complex constant as real tensors."""

    real: str
    imag: str


ConstantName = str | ComplexName


def evaluate_static(module: GraphModule) -> dict[Node, Any]:
    """The value of every node that no input reaches, weights included.

    The program must be functional: an operator that writes into a tensor would make a static value
    depend on an input behind the analysis' back.
    """
    return _StaticInterpreter(module).values


def store_constants(module: GraphModule, static: dict[Node, Any]) -> dict[Node, ConstantName]:
    """Give the module a buffer for each static value that is needed.

    Only values made from nothing but constants are stored: what is computed from weights stays
    computed, so that no weight is stored twice. A value much larger than what it is made of (an
    ``expand``) stays computed too.

    Returns:
        For each stored node, the attribute that holds it, or two of them for a complex value.
    """
    stored = _worth_storing(module, static)
    names: dict[Node, ConstantName] = {}
    for node in static:
        if node in stored and any(user not in stored for user in node.users):
            names[node] = _store_value(module, node.name, static[node])
    return names


def only_for_constants(
    module: GraphModule, static: dict[Node, Any], names: dict[Node, ConstantName]
) -> set[Node]:
    """The static nodes that nothing needs once the named ones are stored."""
    unneeded: set[Node] = set()
    for node in reversed(module.graph.nodes):
        if node in static and all(user in unneeded or user in names for user in node.users):
            unneeded.add(node)
    return unneeded - set(names)


def _worth_storing(module: GraphModule, static: dict[Node, Any]) -> set[Node]:
    from_weights = _reached_from(module, lambda node: node.op == "get_attr")
    compact = _compact_bytes(static)
    tensors = {node: value for node, value in static.items() if isinstance(value, torch.Tensor)}
    return {
        node
        for node, value in tensors.items()
        if value.is_complex() or (node not in from_weights and _bytes(value) - compact[node] <= GROWTH_LIMIT)
    }


def _compact_bytes(static: dict[Node, Any]) -> dict[Node, int]:
    """The fewest bytes that reproduce each node's value by copying or counting.

    A pointwise operator that broadcasts makes new numbers, unless they are whole or true and false: the
    distance between any two positions is as cheap to have again as a copy. Any other that grows repeats what
    it got.
    """
    compact: dict[Node, int] = {}
    for node, value in static.items():
        made_of = [compact[source] for source in node.all_input_nodes]
        whole = [_bytes(static[source]) for source in node.all_input_nodes]
        computed = _is_pointwise(node) and _is_floating(value) and _bytes(value) > max(whole, default=0)
        compact[node] = _bytes(value) if computed or not made_of else min(_bytes(value), sum(made_of))
    return compact


def _is_pointwise(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and torch.Tag.pointwise in node.target.tags


def _is_floating(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())


def _store_value(module: GraphModule, name: str, value: torch.Tensor) -> ConstantName:
    if value.is_complex():
        return ComplexName(
            _store(module, f"{name}_real", value.real), _store(module, f"{name}_imag", value.imag)
        )
    return _store(module, name, value)


class _StaticInterpreter(Interpreter):
    def __init__(self, module: GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        dynamic = _reached_from(module, lambda node: node.op == "placeholder")
        self.values: dict[Node, Any] = {}
        with torch.no_grad():
            for node in module.graph.nodes:
                if node not in dynamic and node.op != "output":
                    _refuse_random(node)
                    with failures_named(node, f"{node.target} cannot be computed beforehand"):
                        self.env[node] = self.values[node] = self.run_node(node)


def _refuse_random(node: Node) -> None:
    if (
        isinstance(node.target, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded in node.target.tags
    ):
        raise CompilerError(
            f"the model draws random numbers ({node.target} at {source_line(node) or 'an unknown line'}), "
            "and a graph would repeat the same ones; replace them with a constant, or substitute the function"
        )


def _reached_from(module: GraphModule, is_source: Any) -> set[Node]:
    reached: set[Node] = set()
    for node in module.graph.nodes:
        if is_source(node) or any(source in reached for source in node.all_input_nodes):
            reached.add(node)
    return reached


def _bytes(value: Any) -> int:
    return value.numel() * value.element_size() if isinstance(value, torch.Tensor) else 0


def _store(module: GraphModule, name: str, value: torch.Tensor) -> str:
    name = f"constant_{name}"
    module.register_buffer(name, value.detach().clone(memory_format=torch.contiguous_format))
    return name
