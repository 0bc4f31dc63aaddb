"""What a compile did: which rules fired and refused, where and why, and what they cost."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onnx_demucs_compiler.fidelity import Measurement
    from onnx_demucs_compiler.rule import Rule


@dataclass(frozen=True)
class Event:
    """One firing or refusal.

    Attributes:
        rule: the rule's name.
        stage: the stage's label.
        node: what it fired on: an ATen or ONNX node, or a Python attribute.
        source: the line of the model's source that the node comes from, ``""`` where unknown.
        reason: why it refused; ``None`` for a firing.
    """

    rule: str
    stage: str
    node: str
    source: str
    reason: str | None = None

    @property
    def fired(self) -> bool:
        """Whether the rule applied."""
        return self.reason is None


@dataclass
class RuleCost:
    """What one rule did in total.

    Attributes:
        rule: its name.
        stage: the stage's label.
        fires: how often it applied.
        refusals: how often it declined, with a reason.
        seconds: time spent in it.
        nodes: nodes that it added to the graph, less those it removed.
        bytes: bytes of constants that it added, less those it removed.
    """

    rule: str
    stage: str
    fires: int = 0
    refusals: int = 0
    seconds: float = 0.0
    nodes: int = 0
    bytes: int = 0


class Recorder:
    """Collects what the stages report, in the order it happens.

    Args:
        on_step: called with the name of each step of the pipeline as it starts.
    """

    def __init__(self, on_step: Callable[[str], None] | None = None) -> None:
        self._on_step = on_step
        self.events: list[Event] = []
        self.costs: dict[str, RuleCost] = {}
        self.seconds: dict[str, float] = {}

    def fired(self, rule: Rule, node: str, source: str = "") -> None:
        """Record one firing."""
        self.events.append(Event(rule.name, rule.stage.label, node, source))
        self.cost(rule).fires += 1

    def refused(self, rule: Rule, node: str, reason: str, source: str = "") -> None:
        """Record one refusal."""
        self.events.append(Event(rule.name, rule.stage.label, node, source, reason))
        self.cost(rule).refusals += 1

    def cost(self, rule: Rule) -> RuleCost:
        """The running totals of a rule."""
        return self.costs.setdefault(rule.name, RuleCost(rule.name, rule.stage.label))

    @contextmanager
    def timed(self, rule: Rule) -> Iterator[None]:
        """Add the time of a ``with`` block to a rule's total."""
        start = perf_counter()
        try:
            yield
        finally:
            self.cost(rule).seconds += perf_counter() - start

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce and time a step of the pipeline."""
        if self._on_step:
            self._on_step(name)
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start

    def fires(self, rule: str) -> int:
        """How often a rule has fired so far."""
        return self.costs[rule].fires if rule in self.costs else 0


@dataclass(frozen=True)
class Report:
    """The account of one compile.

    Attributes:
        model: what was compiled, as the user named it.
        provenance: where its weights come from.
        options: the choices compiled for.
        events: every firing and refusal, in order.
        costs: totals per rule.
        seconds: time per step of the pipeline.
        nodes: nodes in the artefact.
        operators: how often each operator stands in it.
        bytes: its size when serialised.
        flop: floating point operations of one run (:func:`onnx_demucs_compiler.stages.flops.flops`).
        constant_bytes: bytes of initializers that are not the model's own weights.
        stored: bytes of the numbers in it, by how they are stored
            (:mod:`onnx_demucs_compiler.stages.storage`).
        opset: its ``ai.onnx`` opset.
        ir_version: its ONNX IR version.
        fidelity: SNR per signal and output, empty when verification was skipped.
        min_snr_db: the gate that the fidelity passed, ``None`` when verification was skipped.
        speedup: with ``int8``, how many times as fast as in float32 one run is on the machine that compiled;
            ``None`` for others.
    """

    model: str
    provenance: str
    options: dict[str, Any]
    events: tuple[Event, ...]
    costs: tuple[RuleCost, ...]
    seconds: dict[str, float]
    nodes: int
    operators: dict[str, int]
    bytes: int
    flop: int
    constant_bytes: int
    stored: dict[str, int]
    opset: int
    ir_version: int
    fidelity: tuple[Measurement, ...] = field(default=())
    min_snr_db: float | None = None
    speedup: float | None = None

    def to_json(self) -> str:
        """The report as JSON text; infinite SNR (bit-exact or silent output) is written as null."""
        return json.dumps(finite(asdict(self)), indent=2, ensure_ascii=False, allow_nan=False)


def finite(value: Any) -> Any:
    """The value with infinities and NaN, which JSON has no words for, as ``None``."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
