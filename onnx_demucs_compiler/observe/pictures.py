"""Pictures of graphs, in Mermaid's flowchart language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.rules.rule import RULE_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import onnx_ir as ir

MADE = "stroke-width:3px"
"""The style of nodes that the rule made."""


def before_after(before: ir.Model, after: ir.Model, rule: str) -> str:
    """A fenced flowchart of a graph without a rule, and with it.

    Nodes that the rule made have a thick border. Arrows carry shapes; constants are left out.
    """
    sides = [("before", before), ("after", after)]
    lines = [line for side, model in sides for line in _side(side, model.graph, rule)]
    return "\n".join(["```mermaid", "flowchart LR", *lines, f"    classDef made {MADE}", "```"])


def _side(side: str, graph: ir.Graph, rule: str) -> Iterator[str]:
    known = {value: f"{side}_in{index}" for index, value in enumerate(graph.inputs)}
    yield f"    subgraph {side}"
    yield "        direction LR"
    for value, key in known.items():
        yield f"        {key}([{value.name}])"
    for index, node in enumerate(graph):
        key = f"{side}_{index}"
        made = ":::made" if node.metadata_props.get(RULE_KEY) == rule else ""
        yield f'        {key}["{node.op_type}"]{made}'
        yield from _arrows(known, node.inputs, key)
        known |= dict.fromkeys(node.outputs, key)
    for index, value in enumerate(graph.outputs):
        key = f"{side}_out{index}"
        yield f"        {key}([{value.name}])"
        yield from _arrows(known, [value], key)
    yield "    end"


def _arrows(known: dict[ir.Value, str], values: Iterable[ir.Value | None], key: str) -> Iterator[str]:
    for value in values:
        if value is not None and value in known:
            shape = f'|"{", ".join(map(str, value.shape))}"|' if value.shape else ""
            yield f"        {known[value]} -->{shape} {key}"
