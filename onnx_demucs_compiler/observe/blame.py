"""Finding the rule, and the firing, at which a compile loses parity."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import References, open_session, probe_signals, worst_db
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.observe.observer import Moment, Observer
from onnx_demucs_compiler.report import Parity, Recorder
from onnx_demucs_compiler.rules.rule import Stage
from onnx_demucs_compiler.rules.ruleset import RuleSet
from onnx_demucs_compiler.stages.driver import apply_rule
from onnx_demucs_compiler.tracing.quiet import quiet
from onnx_demucs_compiler.view.model_view import ModelView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from onnx_demucs_compiler.checking.fidelity import Measurement
    from onnx_demucs_compiler.report import Event
    from onnx_demucs_compiler.rules.rule import Rule

    Arrays = list[NDArray[Any]]

SIGNAL = "noise"

FALL_DB = 20.0
"""A fall by less than this is rounding in another order."""

FLOAT32_DB = 150.0
"""What lies above this is as good as equal: float32 has 24 bits."""


class VerifyEach(Observer):
    """Measures every graph against float64 and against the one before, on noise.

    Attributes:
        parity: what was measured, in order.
    """

    def __init__(self, view: ModelView, rebuild: Callable[[RuleSet], ir.Model]) -> None:
        """Run the model in float64.

        Args:
            view: the model and the options it is compiled with.
            rebuild: the graph that a choice of rules gives, made anew.
        """
        self.parity: list[Parity] = []
        self._rebuild, self._options = rebuild, view.options
        # Until SURGERY a graph gives all stems of one segment, whatever the options ask for.
        plain = replace(view.options, stems=None, two_stems=None, track=False)
        views = [view] if plain == view.options else [view, ModelView(view.source, plain)]
        self._references = [_references(each) for each in views]
        self._before: tuple[ir.Model, Arrays] | None = None
        self._blamed: dict[str, str] = {}

    def model(self, moment: Moment, model: ir.Model) -> None:
        """Measure a graph; where it falls, look for the firing.

        Raises:
            CompilerError: ONNX Runtime refuses it, which it did not before this moment.
        """
        try:
            measured, outputs = self._measured(model)
        except CompilerError as error:
            raise CompilerError(f"after {moment.name}: {error}") from error
        snr = worst_db(measured)
        if not self.parity:
            torch_db = worst_db(measured, torch=True)
            self.parity.append(Parity("PyTorch float32", 0, torch_db, math.nan))
        before_db = _between(self._before[1], outputs) if self._before else math.nan
        self.parity.append(Parity(str(moment), moment.fires, snr, before_db))
        if moment.rule is not None and _fell(*self.parity[-2:]):
            self._blamed[str(moment)] = f"{moment.name} ({self._firing(moment)})"
        self._before = model.clone(), outputs

    def falls(self, rules: RuleSet, recorder: Recorder, measured: Sequence[Measurement]) -> tuple[str, ...]:
        """A sentence for each fall of parity.

        Args:
            rules: those compiled with.
            recorder: what fired.
            measured: the finished graph on all signals.
        """
        return tuple(self._sentences(self._with_last(measured), rules, recorder))

    def largest(self, measured: Sequence[Measurement]) -> str:
        """The sentence for a loss that no single fall on noise explains."""
        pairs = itertools.pairwise(self._with_last(measured))
        before, after = max(pairs, key=lambda pair: _capped(pair[0]) - _capped(pair[1]))
        return (
            f"no rule loses {FALL_DB:g} dB on {SIGNAL}; most is lost at {after.moment}, "
            f"from {before.snr_db:.0f} to {after.snr_db:.0f} dB"
        )

    def _with_last(self, measured: Sequence[Measurement]) -> list[Parity]:
        at_last = [item for item in measured if item.signal == SIGNAL]
        return [*self.parity, Parity("finish", 0, worst_db(at_last), math.nan)]

    def _sentences(self, steps: Sequence[Parity], rules: RuleSet, recorder: Recorder) -> Iterator[str]:
        for before, after in itertools.pairwise(steps):
            if not _fell(before, after):
                continue
            where = self._blamed.get(after.moment, after.moment)
            if before is self.parity[0]:
                where = self._early(rules, recorder, _enough(before, after))
            yield f"parity fell from {before.snr_db:.0f} to {after.snr_db:.0f} dB at {where}"

    def _firing(self, moment: Moment) -> str:
        """The guilty firing, found by applying fewer of them."""
        assert moment.rule is not None, "the caller has looked"
        if moment.rule.stage is not Stage.REWRITE and not moment.rule.on:
            return f"{moment.fires} firings" if moment.fires > 1 else "1 firing"
        enough = _enough(*self.parity[-2:])
        right, wrong = 0, moment.fires
        while wrong - right > 1:
            middle = (right + wrong) // 2
            graph, _ = self._applied(moment.rule, middle)
            right, wrong = (middle, wrong) if self._parity(graph) >= enough else (right, middle)
        _, event = self._applied(moment.rule, wrong)
        where = ", ".join(filter(None, [event.module or event.node, event.source]))
        return f"firing {wrong} of {moment.fires}, {where}"

    def _applied(self, rule: Rule, at_most: int) -> tuple[ir.Model, Event]:
        """The graph with a rule's first firings, and the last of them."""
        assert self._before is not None, "a rewrite is not the first to be looked at"
        graph, recorder = self._before[0].clone(), Recorder()
        with quiet():
            apply_rule(graph, rule, self._options, recorder, at_most)
        return graph, [event for event in recorder.events if event.fired][-1]

    def _early(self, rules: RuleSet, recorder: Recorder, enough: float) -> str:
        """The guilty rule of an early stage, found by leaving out each."""
        early = [rule for rule in rules if rule.stage <= Stage.TRANSLATE]
        needed = []
        for suspect in early:
            if not recorder.fires(suspect.name):
                continue
            try:
                graph = self._rebuild(RuleSet(rule for rule in early if rule is not suspect))
                without = self._parity(graph)
            except CompilerError:
                needed.append(suspect.name)
                continue
            if without >= enough:
                fires = recorder.fires(suspect.name)
                return f"{suspect.name} ({suspect.stage.label}, {fires} firings; {without:.0f} dB without it)"
        cannot = f"; cannot be left out: {', '.join(needed)}" if needed else ""
        return f"translate, and leaving out one rule before it does not bring it back{cannot}"

    def _parity(self, model: ir.Model) -> float:
        return worst_db(self._measured(model)[0])

    def _measured(self, model: ir.Model) -> tuple[Sequence[Measurement], Arrays]:
        """The graph against whichever view it is of, and its outputs."""
        session = open_session(ir.to_proto(model))
        found: list[tuple[Sequence[Measurement], Arrays]] = []
        for references in self._references:
            try:
                found.append((references.measure(session), references.outputs(session)))
            except CompilerError as error:
                failure = error
        if not found:
            raise failure
        return max(found, key=lambda each: worst_db(each[0]))


def _references(view: ModelView) -> References:
    signals = probe_signals(view.probe(), view.source.sample_rate)
    return References(view, {SIGNAL: signals[SIGNAL]})


def _fell(before: Parity, after: Parity) -> bool:
    return _capped(before) - _capped(after) >= FALL_DB


def _enough(before: Parity, after: Parity) -> float:
    """Half of a fall: what is above it has not fallen."""
    return (_capped(before) + _capped(after)) / 2


def _capped(parity: Parity) -> float:
    return max(-FLOAT32_DB, min(parity.snr_db, FLOAT32_DB))


def _between(before: Arrays, after: Arrays) -> float:
    """The SNR in dB against earlier outputs; NaN if shapes differ."""
    if [array.shape for array in before] != [array.shape for array in after]:
        return math.nan
    return min(snr_db(one, other) for one, other in zip(before, after, strict=True))
