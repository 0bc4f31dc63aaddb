"""SURGERY: changes to the graph as a whole."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import onnx_graphsurgeon as gs
import onnx_ir as ir

from onnx_demucs_compiler.rule import Refusal
from onnx_demucs_compiler.stages.decompose import RULE_KEY
from onnx_demucs_compiler.stages.measure import accounted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rule import Rule


def operated(model: ir.Model, rules: tuple[Rule, ...], options: Options, recorder: Recorder) -> None:
    """Apply whole-graph rules in order, in place."""
    for rule in rules:
        with recorder.timed(rule), accounted(model, recorder.cost(rule)):
            outcome = rule.implementation(model, options)
        if isinstance(outcome, Refusal):
            recorder.refused(rule, "graph", outcome.reason)
            continue
        for _ in range(outcome):
            recorder.fired(rule, "graph")


def rule_of(node: ir.Node) -> str | None:
    """The rule that made a node, of a graph that is being compiled or of a finished file."""
    made_by: str | None = node.metadata_props.get(RULE_KEY)
    return made_by or (node.name or "").rpartition("/")[0] or None


@contextmanager
def surgeon(model: ir.Model) -> Iterator[Any]:
    """The model as an onnx-graphsurgeon graph inside the block, and back again after it.

    Yields:
        ``onnx_graphsurgeon.Graph``. It carries no node metadata; what the nodes had is given back to
        those that still have their names, and to initializers likewise.
    """
    metadata = {node.name: dict(node.metadata_props) for node in model.graph.all_nodes()}
    stored = {name: dict(value.metadata_props) for name, value in model.graph.initializers.items()}
    graph = gs.import_onnx(ir.to_proto(model))
    yield graph
    edited = ir.from_proto(gs.export_onnx(graph, do_type_check=False))
    for node in edited.graph.all_nodes():
        node.metadata_props.update(metadata.get(node.name, {}))
    for name, value in edited.graph.initializers.items():
        value.metadata_props.update(stored.get(name, {}))
    model.graph = edited.graph
