"""Nodes of a trace remember the node that they come from, and not its ancestors."""

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import traceback

from onnx_demucs_compiler.tracing.ancestry import parents_only


def decomposed_twice() -> ExportedProgram:
    program = torch.export.export(nn.Linear(3, 2), (torch.ones(1, 3),), strict=False)
    return program.run_decompositions({}).run_decompositions({})


def parents(program: ExportedProgram) -> list[traceback.NodeSource]:
    calls = program.graph.find_nodes(op="call_function", target=torch.ops.aten.linear.default)
    return [parent for node in calls for parent in node.meta["from_node"]]


def test_a_node_has_a_parent_and_no_ancestors() -> None:
    with parents_only():
        [parent] = parents(decomposed_twice())
    assert (parent.name, parent.target) == ("linear", "aten.linear.default")
    assert parent.from_node == []


def test_afterwards_it_has_them_again() -> None:
    source = traceback.NodeSource
    with parents_only():
        pass
    assert traceback.NodeSource is source
    [parent] = parents(decomposed_twice())
    assert parent.from_node
