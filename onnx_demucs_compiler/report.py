"""The report of a compile: firings, refusals, places, reasons and costs."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.checking.decibels import finite
from onnx_demucs_compiler.errors import CompilerError, InternalError
from onnx_demucs_compiler.observe.memory import MemoryWatch
from onnx_demucs_compiler.observe.observer import Observer
from onnx_demucs_compiler.tracing.source import error_in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onnx_demucs_compiler.checking.fidelity import Measurement
    from onnx_demucs_compiler.checking.grouping import Group
    from onnx_demucs_compiler.observe.memory import MemorySample
    from onnx_demucs_compiler.rules.rule import Rule
    from onnx_demucs_compiler.tracing.source import Origin


@dataclass(frozen=True)
class Event:
    """One firing or refusal.

    Attributes:
        rule: the rule's name.
        stage: the stage's label.
        node: what it fired on: an ATen or ONNX node, a weight, a Python attribute, or the whole ``graph``.
        source: the line of the model's source that the node comes from, ``""`` where unknown.
        module: the path of the ``nn.Module`` that the node comes from, ``""`` where unknown.
        reason: why it refused; ``None`` for a firing.
    """

    rule: str
    stage: str
    node: str
    source: str
    module: str
    reason: str | None = None

    @property
    def fired(self) -> bool:
        """True if the rule applied."""
        return self.reason is None


@dataclass
class RuleCost:
    """The total work of one rule.

    Attributes:
        rule: its name.
        stage: the stage's label.
        fires: how often it applied.
        refusals: how often it declined, with a reason.
        seconds: time spent in it.
        nodes: nodes that it added to the graph, less those it removed.
        bytes: bytes of constants that it added, less those it removed.
        nodes_before: nodes of the ONNX graph before it; ``None`` in the stages that have none yet.
        bytes_before: bytes of constants before it; ``None`` likewise.
    """

    rule: str
    stage: str
    fires: int = 0
    refusals: int = 0
    seconds: float = 0.0
    nodes: int = 0
    bytes: int = 0
    nodes_before: int | None = None
    bytes_before: int | None = None


@dataclass(frozen=True)
class Parity:
    """Parity after one rule.

    Attributes:
        moment: when (:class:`onnx_demucs_compiler.observe.observer.Moment`); the first is PyTorch in float32.
        fires: how often the rule fired.
        snr_db: of the worst output on noise against the model in float64.
        before_db: against the graph before; NaN where there is none, or it has other outputs.
    """

    moment: str
    fires: int
    snr_db: float
    before_db: float


class Recorder:
    """Collects what the stages report, in the order it happens.

    Args:
        on_step: called with the name of each step of the pipeline as it starts.
        observer: shown the program and the graph as the stages leave them.
    """

    def __init__(
        self, on_step: Callable[[str], None] | None = None, observer: Observer | None = None
    ) -> None:
        self._on_step = on_step
        self.observer = observer or Observer()
        self.events: list[Event] = []
        self.costs: dict[str, RuleCost] = {}
        self.seconds: dict[str, float] = {}
        self.memory = MemoryWatch()
        self.decided: tuple[str, ...] = ()

    def fired(self, rule: Rule, origin: Origin) -> None:
        """Record one firing."""
        self.events.append(Event(rule.name, rule.stage.label, *origin))
        self.cost(rule).fires += 1

    def refused(self, rule: Rule, origin: Origin, reason: str) -> None:
        """Record one refusal."""
        self.events.append(Event(rule.name, rule.stage.label, *origin, reason))
        self.cost(rule).refusals += 1

    def cost(self, rule: Rule) -> RuleCost:
        """The running totals of a rule."""
        return self.costs.setdefault(rule.name, RuleCost(rule.name, rule.stage.label))

    @contextmanager
    def running(self, rule: Rule) -> Iterator[None]:
        """Add the time of a ``with`` block to a rule's total.

        Raises:
            InternalError: for what the rule raises that is none of our own errors.
        """
        start = perf_counter()
        try:
            yield
        except CompilerError:
            raise
        except Exception as error:
            raise InternalError(f"rule {rule.name} fails: {error_in_one_line(error)}") from error
        finally:
            self.cost(rule).seconds += perf_counter() - start

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce and time a step of the pipeline.

        Raises:
            InternalError: for what it raises that is none of our own errors.
        """
        if self._on_step:
            self._on_step(name)
        start = perf_counter()
        try:
            with self.memory.during(name):
                yield
        except CompilerError:
            raise
        except Exception as error:
            raise InternalError(
                f"the step {name} fails with {type(error).__name__} ({error_in_one_line(error)}), which is a "
                "fault of this compiler or of what it calls: report it, with the module if you can"
            ) from error
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start

    def fires(self, rule: str) -> int:
        """The number of times a rule has fired so far."""
        return self.costs[rule].fires if rule in self.costs else 0


@dataclass(frozen=True)
class Report:
    """The account of one compile.

    Of a format beside ONNX arithmetic, constants, opset and the like are not told: they are 0 or empty.

    Attributes:
        model: what was compiled, as the user named it.
        provenance: where its weights come from.
        options: the choices compiled for.
        events: every firing and refusal, in order.
        costs: totals per rule.
        seconds: time per step of the pipeline.
        nodes: nodes in the artifact.
        operators: how often each operator stands in it.
        bytes: its size when serialised.
        operator_bytes: bytes of the initializers that each operator takes; one that several take counts for
            the first.
        flop: floating point operations of one run (:func:`onnx_demucs_compiler.graph.flops.flops`).
        constant_bytes: bytes of initializers that are not the model's own weights.
        stored: bytes of the numbers in it, by how they are stored
            (:mod:`onnx_demucs_compiler.graph.storage`).
        opset: its ``ai.onnx`` opset.
        ir_version: its ONNX IR version.
        fidelity: SNR per signal and output, empty when verification was skipped.
        min_snr_db: the gate that the fidelity passed, ``None`` when verification was skipped or a quality
            asks for no SNR.
        promise: with a quality, all that it asks for, in words; empty for others.
        chosen: with a quality, what was chosen and why, in words; empty for others.
        groups: of weights, as the search for eight bits tried them; none where nothing had to be tried.
        speedup: with ``int8`` or a quality that allows it, how many times as fast as in float32 one run is on
            the machine that compiled; ``None`` for others.
        parity: after every rule, with ``verify_each``.
        warnings: what the user should know though the work went on, one line each.
        operator_seconds: time of one run in ONNX Runtime by operator, those it fuses by the names it gives
            them; empty where the compile was not profiled.
        decided: the model's lines with a condition or a number that no input reaches, or a check of an input
            that can only raise, which the example decided where a trace without numbers failed at them.
        memory: what the process held during each step; empty where the system does not tell.
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
    operator_bytes: dict[str, int] = field(default_factory=dict)
    flop: int = 0
    constant_bytes: int = 0
    stored: dict[str, int] = field(default_factory=dict)
    opset: int = 0
    ir_version: int = 0
    fidelity: tuple[Measurement, ...] = field(default=())
    min_snr_db: float | None = None
    promise: str = ""
    chosen: str = ""
    groups: tuple[Group, ...] = ()
    speedup: float | None = None
    parity: tuple[Parity, ...] = ()
    warnings: tuple[str, ...] = ()
    operator_seconds: dict[str, float] = field(default_factory=dict)
    decided: tuple[str, ...] = ()
    memory: tuple[MemorySample, ...] = ()

    def to_json(self) -> str:
        """The report as JSON, with infinities (equal outputs) and NaN as null."""
        return json.dumps(finite(asdict(self)), indent=2, ensure_ascii=False, allow_nan=False)
