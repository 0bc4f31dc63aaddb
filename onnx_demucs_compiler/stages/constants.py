"""What no model input reaches: evaluated once, before the trace, so that rules can read it.

Position embeddings, windows and index tables come out as plain constants, and the operators that made
them (Sin, Cos, ScatterND, Range) never reach ONNX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.fx import Interpreter

from onnx_demucs_compiler.complex_pair import ComplexPair

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

    ConstantName = str | ComplexPair

# A constant may be this much larger than what it is made of before it is left for the runtime to expand.
GROWTH_LIMIT = 1 << 20


def evaluate_static(module: GraphModule) -> dict[Node, Any]:
    """The value of every node that no input reaches, weights included.

    The program must be functional: an operator that writes into a tensor would make a static value
    depend on an input behind the analysis' back.
    """
    return _StaticInterpreter(module).values


def store_constants(module: GraphModule, static: dict[Node, Any]) -> dict[Node, ConstantName]:
    """Give the module a buffer for each static value that the rest of the graph needs.

    Only values made from nothing but constants are stored: what is computed from weights stays
    computed, so that no weight is stored twice. A value much larger than what it is made of (an
    ``expand``) stays computed too.

    Returns:
        For each stored node, the attribute that holds it, or a pair of them for a complex value.
    """
    from_weights = _reached_from(module, lambda node: node.op == "get_attr")
    names: dict[Node, ConstantName] = {}
    for node, value in static.items():
        if not isinstance(value, torch.Tensor):
            continue
        if value.is_complex():
            names[node] = ComplexPair(  # type: ignore[arg-type]
                _store(module, f"{node.name}_real", value.real), _store(module, f"{node.name}_imag", value.imag)
            )
        elif node not in from_weights and _growth(node, static) <= GROWTH_LIMIT:
            names[node] = _store(module, node.name, value)
    return names


class _StaticInterpreter(Interpreter):
    def __init__(self, module: GraphModule) -> None:
        super().__init__(module, garbage_collect_values=False)
        dynamic = _reached_from(module, lambda node: node.op == "placeholder")
        self.values: dict[Node, Any] = {}
        with torch.no_grad():
            for node in module.graph.nodes:
                if node not in dynamic and node.op != "output":
                    self.env[node] = self.values[node] = self.run_node(node)


def _reached_from(module: GraphModule, is_source: Any) -> set[Node]:
    reached: set[Node] = set()
    for node in module.graph.nodes:
        if is_source(node) or any(source in reached for source in node.all_input_nodes):
            reached.add(node)
    return reached


def _growth(node: Node, static: dict[Node, Any]) -> int:
    made_of = sum(_bytes(static[source]) for source in node.all_input_nodes)
    return _bytes(static[node]) - made_of if node.all_input_nodes else 0


def _bytes(value: Any) -> int:
    return value.numel() * value.element_size() if isinstance(value, torch.Tensor) else 0


def _store(module: GraphModule, name: str, value: torch.Tensor) -> str:
    name = f"constant_{name}"
    module.register_buffer(name, value.detach().clone(memory_format=torch.contiguous_format))
    return name
