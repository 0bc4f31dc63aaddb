"""SURGERY and STORE: changes to the graph in place."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import onnx_graphsurgeon as gs
import onnx_ir as ir
from onnx_ir.passes import common as passes

from onnx_demucs_compiler.rules.graph_site import GraphSite, NodeSite, NotMine
from onnx_demucs_compiler.rules.rule import RULE_KEY, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.rules.rule import Rule
    from onnx_demucs_compiler.stages.firings import Firings

KEPT = "onnx_demucs.kept"
"""Under which a node's ``meta`` tell that a :func:`surgeon` found it in the graph."""


def operate(model: ir.Model, rule: Rule, options: Options, firings: Firings) -> None:
    """Apply a rule in place, at each of its sites once."""
    if rule.decide is None:
        _tell(firings, rule.implementation(model, options), None)
        return
    for site in _sites(model, rule, options):
        if firings.over:
            break
        facts = rule.decide(site)
        node = site.node if isinstance(site, NodeSite) else None
        if isinstance(facts, Refusal):
            firings.refused(node, facts.reason)
        elif not isinstance(facts, NotMine):
            _tell(firings, rule.implementation(site, facts), node)
    if firings.count:
        passes.RemoveUnusedNodesPass()(model)


def _sites(model: ir.Model, rule: Rule, options: Options) -> Iterator[GraphSite]:
    """The graph, or the nodes that the rule names, in loops too."""
    whole = GraphSite(model, options)
    if not rule.on:
        yield whole
    for node in list(model.graph.all_nodes()):
        if node.op_type in rule.on and node.graph is not None:
            yield NodeSite(model, options, node, whole.arguments(node))


def _tell(firings: Firings, outcome: Any, site: ir.Node | None) -> None:
    """Record a rule's account of its firings; nothing is the site."""
    if isinstance(outcome, Refusal):
        firings.refused(site, outcome.reason)
        return
    places = [site] if outcome is None else [None] * outcome if isinstance(outcome, int) else outcome
    for place in places:
        firings.fired(place)


def rule_of(node: ir.Node) -> str | None:
    """The rule that made a node, in a compile or file."""
    made_by: str | None = node.metadata_props.get(RULE_KEY)
    return made_by or (node.name or "").rpartition("/")[0] or None


@contextmanager
def surgeon(model: ir.Model) -> Iterator[Any]:
    """The model as an onnx-graphsurgeon graph inside the block.

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
        node.meta[KEPT] = node.name in metadata
        node.metadata_props.update(metadata.get(node.name, {}))
    for name, value in edited.graph.initializers.items():
        value.metadata_props.update(stored.get(name, {}))
    model.graph = edited.graph
