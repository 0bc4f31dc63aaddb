"""One rule tried on a model: the graphs without and with it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.checking.fidelity import References, probe_signals, worst_db
from onnx_demucs_compiler.checking.timing import best_seconds
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.graph.measure import operator_histogram
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.rules.rule import Case
from onnx_demucs_compiler.rules.ruleset import RuleSet, default_rules
from onnx_demucs_compiler.stages.finish import finish
from onnx_demucs_compiler.stages.opset import restate_in_opset
from onnx_demucs_compiler.targets import EMITTED, TARGETS
from onnx_demucs_compiler.testing import Builds, case_source
from onnx_demucs_compiler.tracing.copies import private_copy
from onnx_demucs_compiler.tracing.first_call import first_call
from onnx_demucs_compiler.tracing.quiet import quiet
from onnx_demucs_compiler.view.model_view import ModelView

if TYPE_CHECKING:
    from onnx_demucs_compiler.loading import SourceModel
    from onnx_demucs_compiler.rules.rule import Rule
    from onnx_demucs_compiler.testing import Outcome


@dataclass(frozen=True)
class Subject:
    """A model to try a rule on.

    Attributes:
        source: the model.
        options: compiled for.
        beside: the rules that apply in both compiles.
    """

    source: SourceModel
    options: Options
    beside: RuleSet


@dataclass(frozen=True)
class Side:
    """One of the two graphs.

    Attributes:
        error: why there is none, or why it cannot be compared with the model: a graph without the rule that
            chooses stems has others.
        operators: how often each operator stands in it.
        bytes: its size when serialised.
        snr_db: the worst output's SNR in dB against float64, on noise, a synthetic song and silence.
        milliseconds: the shortest of several runs in ONNX Runtime.
    """

    error: str | None = None
    operators: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    snr_db: float = math.nan
    milliseconds: float = math.nan

    @property
    def nodes(self) -> int:
        """The number of its nodes."""
        return sum(self.operators.values())


@dataclass(frozen=True)
class Trial:
    """The outcome of a trial.

    Attributes:
        rule: its name.
        model: what it was tried on.
        fires: how often it applied.
        refusals: how often it declined, by reason.
        without: the graph of the other rules alone.
        with_rule: the graph of all of them.
    """

    rule: str
    model: str
    fires: int
    refusals: dict[str, int]
    without: Side
    with_rule: Side

    def histogram(self) -> list[tuple[str, int, int]]:
        """Every operator with both its numbers, the largest differences first."""
        before, after = Counter(self.without.operators), Counter(self.with_rule.operators)
        rows = [(operator, before[operator], after[operator]) for operator in before | after]
        return sorted(rows, key=lambda row: (-abs(row[2] - row[1]), -max(row[1:]), row[0]))


def first_case(rule: Rule, rules: RuleSet) -> Subject:
    """The model of the first case in which a rule fires.

    Args:
        rule: the rule.
        rules: the set in which ``beside`` is looked up.

    Raises:
        CompilerError: only graphs are cases of the rule.
    """
    for case in rule.cases:
        if isinstance(case, Case) and case.fires:
            source, options = case_source(case)
            return Subject(source, options, RuleSet(rules[name] for name in case.beside))
    raise CompilerError(f"{rule.name} has no case with a module in which it fires; name a model (--model)")


def whole_model(rule: Rule, source: SourceModel, rules: RuleSet | None = None) -> Subject:
    """A model, the default rules, and options under which a rule applies.

    Those are the first target that the rule belongs to, formats beside ONNX last, and its precision where it
    has one.

    Args:
        rule: the rule.
        source: the model.
        rules: further rules.
    """
    options = Options(**_made_for(rule), precision=rule.precision or "fp32", sources=source.sources)
    beside = RuleSet(other for other in default_rules() | (rules or RuleSet([])) if other.name != rule.name)
    return Subject(source, options, beside)


def _made_for(rule: Rule) -> dict[str, Any]:
    for option, targets in (("target", TARGETS), ("emit", EMITTED)):
        for name, target in targets.items():
            if target in rule.targets:
                return {option: name}
    raise UsageError(f"{rule.name} belongs to no target")


def try_rule(rule: Rule, subject: Subject) -> Trial:
    """Compare the graphs of a subject without and with a rule.

    Raises:
        CompilerError: the compile with the rule fails, or the rule does not fire, with its reasons.
    """
    source, options = private_copy(subject.source), subject.options
    view = ModelView(source, options)
    traced = first_call(source, view.example()).traced
    builds = Builds(traced, view.example(), options)
    with_rule = builds.attempt(subject.beside | rule)
    fires = with_rule.recorder.fires(rule.name)
    refusals = Counter(
        event.reason for event in with_rule.recorder.events if event.rule == rule.name and event.reason
    )
    if not fires:
        raise CompilerError(f"{rule.name} does not fire on {source.name}: {_reasons(refusals)}")
    if with_rule.error:
        raise with_rule.error
    without = builds.attempt(subject.beside)
    return Trial(rule.name, source.name, fires, dict(refusals), *_sides(view, without, with_rule))


def _reasons(refusals: Counter[str]) -> str:
    if not refusals:
        return "nothing in it is what the rule looks for"
    return "; ".join(f"{reason} ({count} times)" for reason, count in refusals.most_common())


def _sides(view: ModelView, *outcomes: Outcome) -> list[Side]:
    """Both graphs, measured on the same signals and run in turn."""
    references = References(view, probe_signals(view.probe(), view.source.sample_rate))
    graphs = [_finished(outcome, view.options) for outcome in outcomes]
    sides = [_measured(outcome, data, references) for outcome, data in zip(outcomes, graphs, strict=True)]
    runs = [data for side, data in zip(sides, graphs, strict=True) if side.error is None]
    seconds = iter(best_seconds(references, runs))
    return [side if side.error else replace(side, milliseconds=1000 * next(seconds)) for side in sides]


def _measured(outcome: Outcome, data: bytes, references: References) -> Side:
    if outcome.model is None:
        return Side(str(outcome.error))
    side = Side(operators=operator_histogram(outcome.model), bytes=len(data))
    try:
        return replace(side, snr_db=worst_db(references.measure(data)))
    except CompilerError as error:
        return replace(side, error=str(error))


def _finished(outcome: Outcome, options: Options) -> bytes:
    if outcome.model is None:
        return b""
    with quiet():
        restate_in_opset(outcome.model, options.opset)
        return finish(outcome.model, "trial").serialized()
