"""Repairs of a program that several converters need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from onnx_demucs_compiler.stages.constants import evaluate_static

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Graph, GraphModule, Node

aten = torch.ops.aten

CHANGE_NOTHING = (aten.alias.default, aten.lift_fresh_copy.default)
ASSERT = (aten._assert_tensor_metadata.default,)


def repaired(program: ExportedProgram) -> ExportedProgram:
    """The program without what converters stumble over, and with computed weights stored."""
    module = program.module(check_guards=False)
    _drop_what_changes_nothing(module.graph)
    _store_computed_weights(module)
    args, kwargs = program.example_inputs
    return torch.export.export(module, args, kwargs, strict=False)


def _drop_what_changes_nothing(graph: Graph) -> None:
    for node in list(graph.nodes):
        if node.target in CHANGE_NOTHING:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.target in ASSERT:
            graph.erase_node(node)


def _store_computed_weights(module: GraphModule) -> None:
    """Compute what weights alone decide, unless that takes more bytes.

    A table that is expanded stays as it is.
    """
    static = evaluate_static(module)
    for node, value in static.items():
        needed = any(user not in static for user in node.users)
        if node.op != "get_attr" and needed and isinstance(value, torch.Tensor) and _is_compact(node, static):
            name = f"computed_{node.name}"
            module.register_buffer(name, value.detach().clone(memory_format=torch.contiguous_format))
            with module.graph.inserting_before(node):
                stored = module.graph.get_attr(name)
            node.replace_all_uses_with(stored, lambda user: user not in static)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()


def _is_compact(node: Node, static: dict[Node, object]) -> bool:
    """True if a value has no more bytes than its weights."""
    sources, seen, waiting = 0, {node}, [node]
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source not in seen:
                seen.add(source)
                waiting.append(source)
                sources += _bytes(static[source]) if source.op == "get_attr" else 0
    return _bytes(static[node]) <= sources


def _bytes(value: object) -> int:
    return value.numel() * value.element_size() if isinstance(value, torch.Tensor) else 0
