"""The firings and refusals of one rule at work on a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnx_demucs_compiler.tracing.source import Origin, origin_in_graph

if TYPE_CHECKING:
    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rules.rule import Rule

WHOLE = Origin("graph")


class Firings:
    """Counts a rule's firings and tells the recorder.

    Attributes:
        rule: the rule.
        count: how often it has fired.
    """

    def __init__(self, rule: Rule, recorder: Recorder, at_most: int | None = None) -> None:
        """Begin at none.

        Args:
            rule: the rule.
            recorder: told of every firing and refusal.
            at_most: how often the rule may fire.
        """
        self.rule, self.count = rule, 0
        self._recorder, self._at_most = recorder, at_most
        self._refused: set[tuple[ir.Node | None, str]] = set()

    @property
    def over(self) -> bool:
        """True once the rule has fired as often as it may."""
        return self._at_most is not None and self.count >= self._at_most

    def fired(self, place: ir.Node | ir.Value | None) -> None:
        """Record a firing on a node or value, or on the graph."""
        self.count += 1
        self._recorder.fired(self.rule, _origin(place))

    def refused(self, node: ir.Node | None, reason: str) -> None:
        """Record a refusal, once for each node and reason."""
        if (node, reason) not in self._refused:
            self._refused.add((node, reason))
            self._recorder.refused(self.rule, _origin(node), reason)


def _origin(place: ir.Node | ir.Value | None) -> Origin:
    """The origin of a node or value; of a weight, its name."""
    if place is None:
        return WHOLE
    if isinstance(place, ir.Node):
        return origin_in_graph(place)
    producer = place.producer()
    origin = WHOLE if producer is None else origin_in_graph(producer)
    return origin._replace(node=str(place.name))
