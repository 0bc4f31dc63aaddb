"""SURGERY and STORE: changes to the graph in place."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_graphsurgeon as gs
import onnx_ir as ir
from onnx_graphsurgeon.ir.tensor import LazyValues
from onnx_ir.passes import common as passes

from onnx_demucs_compiler.graph.apart import weights_apart
from onnx_demucs_compiler.rules.graph_site import GraphSite, NodeSite, NotMine
from onnx_demucs_compiler.rules.rule import RULE_KEY, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import onnx
    from numpy.typing import NDArray

    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.rules.rule import Rule
    from onnx_demucs_compiler.stages.firings import Firings

    Metadata = Mapping[Any, Mapping[str, str]]

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
    with weights_apart(model) as apart:
        graph = gs.import_onnx(ir.to_proto(model))
        _give_values(graph, apart)
        yield graph
        model.graph = _edited(graph, metadata, stored)


def _edited(graph: gs.Graph, metadata: Metadata, stored: Metadata) -> ir.Graph:
    edited: ir.Graph = ir.from_proto(gs.export_onnx(graph, do_type_check=False)).graph
    for node in edited.all_nodes():
        node.meta[KEPT] = node.name in metadata
        node.metadata_props.update(metadata.get(node.name, {}))
    for name, value in edited.initializers.items():
        value.metadata_props.update(stored.get(name, {}))
    return edited


class _Apart(LazyValues):  # type: ignore[misc]
    """Values of a constant, outside the graph until they are read."""

    def __init__(self, tensor: onnx.TensorProto, held: ir.TensorProtocol) -> None:
        super().__init__(tensor)
        self._held = held

    def load(self) -> NDArray[Any]:
        """A copy of the values."""
        return np.array(self._held.numpy())


def _give_values(graph: gs.Graph, apart: Mapping[str, ir.TensorProtocol]) -> None:
    """Let constants find the values that were left out of the proto."""
    for inside in (graph, *graph.subgraphs(recursive=True)):
        for name, tensor in inside.tensors().items():
            if isinstance(tensor, gs.Constant) and name in apart:
                tensor.values = _Apart(tensor._values.tensor, apart[name])
                tensor.data_location = None
