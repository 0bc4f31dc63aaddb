"""The one harness that runs a rule's cases, for the bundled rules and for third-party packs alike.

In a pack's test suite::

    @pytest.mark.parametrize(("rule", "case"), rule_cases(load_pack("acme_rules")))
    def test_case(rule, case):
        check_case(rule, case, load_pack("acme_rules"))
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import torch

from onnx_demucs_compiler.compiler import build
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.fidelity import snr_db
from onnx_demucs_compiler.loading import from_module, make_lively
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.rule import Stage
from onnx_demucs_compiler.ruleset import RuleSet
from onnx_demucs_compiler.stages.decompose import lower
from onnx_demucs_compiler.stages.finish import finished
from onnx_demucs_compiler.stages.measure import operator_histogram
from onnx_demucs_compiler.stages.rewrite import rewritten
from onnx_demucs_compiler.stages.substitute import substituted
from onnx_demucs_compiler.stages.surgery import operated
from onnx_demucs_compiler.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

    from onnx_demucs_compiler.loading import SourceModel
    from onnx_demucs_compiler.rule import Case, Rule


@dataclass
class Outcome:
    """What one build of a case's model gave.

    Attributes:
        recorder: what fired and what refused.
        model: the graph, ``None`` where the build failed.
        error: why it failed.
    """

    recorder: Recorder
    model: ir.Model | None = None
    error: CompilerError | None = None

    def histogram(self) -> dict[str, int]:
        """How often each operator stands in the graph."""
        return operator_histogram(self.model) if self.model is not None else {}

    def run(self, inputs: tuple[torch.Tensor, ...]) -> list[np.ndarray]:
        """Check the graph and run it with ONNX Runtime's own optimisations off."""
        assert self.model is not None, self.error
        proto = finished(copy.copy(self.model), "case", {})
        onnx.checker.check_model(proto, full_check=True)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feeds = {port.name: value.numpy() for port, value in zip(session.get_inputs(), inputs, strict=True)}
        outputs: list[np.ndarray] = session.run(None, feeds)
        return outputs


def rule_cases(rules: RuleSet) -> Iterator[tuple[Rule, Case]]:
    """Every case of every rule; ``f"{rule.name}:{case.name}"`` makes its test id."""
    for rule in rules:
        for case in rule.cases:
            yield rule, case


def check_case(rule: Rule, case: Case, rules: RuleSet) -> None:
    """Run one case of a rule and compare what happens with what the case says.

    The model is compiled with the rule and without it (and in both builds with the rules that the case
    names in ``beside``); where it draws random numbers it is compiled twice with it. Checked: how often
    the rule fires and why it refuses; the operators of the graph; ``onnx.checker``; parity with PyTorch
    in float64 within the rule's numerics; parity with the graph without the rule, bit for bit where the
    rule calls itself exact; and that on its own result the rule does not fire again.

    Args:
        rule: the rule.
        case: one of its cases.
        rules: the set in which ``beside`` is looked up.

    Raises:
        AssertionError: the rule does not do what the case says.
    """
    torch.manual_seed(0)
    module = case.module().eval().requires_grad_(False)
    make_lively(module, seed=0)
    inputs = tuple(torch.randn(shape) for shape in case.inputs)
    source = from_module(module, example_input=inputs)
    options = Options(target=case.target, sources=source.sources, **case.options)
    beside = RuleSet(rules[name] for name in case.beside)

    with_rule = _build(source, inputs, beside | rule, options)
    without = _build(source, inputs, beside | rule if case.random else beside, options)

    _check_firings(rule, case, with_rule.recorder, with_rule.error)
    if case.needed:
        assert without.error, "the case says that the rule is needed, and the export works without it"
    else:
        assert without.model is not None, f"without the rule the export fails: {without.error}"
    if with_rule.model is None:
        assert case.because, f"the export fails with the rule: {with_rule.error}"
        return
    found = with_rule.histogram()
    assert {op: found.get(op, 0) for op in case.ops} == dict(case.ops), f"the graph holds {found}"
    subject = Subject(source, options)
    tried = tuple(torch.randn(value.shape) for value in subject.probe()) if options.track else inputs
    _check_parity(rule, subject, tried, with_rule, without)
    _check_idempotent(rule, source, inputs, beside, options, with_rule)


def _build(
    source: SourceModel, inputs: tuple[torch.Tensor, ...], rules: RuleSet, options: Options
) -> Outcome:
    recorder = Recorder()
    try:
        return Outcome(recorder, build(source, inputs, rules, options, recorder))
    except CompilerError as error:
        return Outcome(recorder, error=error)


def _check_firings(rule: Rule, case: Case, recorder: Recorder, error: CompilerError | None) -> None:
    assert recorder.fires(rule.name) == case.fires, f"fired {recorder.fires(rule.name)} times; {error or ''}"
    if case.because:
        reasons = [event.reason for event in recorder.events if event.rule == rule.name and event.reason]
        reasons += [str(error)] if error else []
        assert any(case.because in reason for reason in reasons), f"reasons given: {reasons}"


def _check_parity(
    rule: Rule, subject: Subject, inputs: tuple[torch.Tensor, ...], with_rule: Outcome, without: Outcome
) -> None:
    double = copy.deepcopy(subject.source.module).double()
    reference = subject.run(double, tuple(value.double() for value in inputs))
    outputs = with_rule.run(inputs)
    bound = rule.numerics.min_snr_db
    for wanted, got in zip(reference, outputs, strict=True):
        reached = snr_db(wanted, got)
        assert bound is None or reached >= bound, f"{reached:.1f} dB against float64"
    changed = subject.options.track or subject.stems != subject.source.sources
    comparable = without.model is not None and not changed
    for plain, got in zip(without.run(inputs) if comparable else [], outputs, strict=comparable):
        if bound is None:
            np.testing.assert_array_equal(got, plain)
        else:
            # Both graphs round on their own, which costs 3 dB, and the plain one may be the worse.
            reached = snr_db(plain, got)
            assert reached >= bound - 6, f"{reached:.1f} dB against the graph without the rule"


def _check_idempotent(
    rule: Rule,
    source: SourceModel,
    inputs: tuple[torch.Tensor, ...],
    beside: RuleSet,
    options: Options,
    outcome: Outcome,
) -> None:
    """Apply the rule to what it made. A translation has nothing left to apply to: no ATen is."""
    again = Recorder()
    assert outcome.model is not None
    if rule.stage is Stage.SUBSTITUTE:
        with substituted(source.module, [rule], Recorder()), substituted(source.module, [rule], again):
            pass
    elif rule.stage is Stage.DECOMPOSE:
        with (
            torch.no_grad(),
            substituted(source.module, beside.stage(Stage.SUBSTITUTE, options.target), Recorder()),
        ):
            program = torch.export.export(source.module, inputs, strict=False)
        rules = (beside | rule).stage(Stage.DECOMPOSE, options.target)
        lower(lower(program, rules, Recorder()), rules, again)
    elif rule.stage is Stage.REWRITE:
        rewritten(outcome.model, (rule,), again)
    elif rule.stage is Stage.SURGERY:
        operated(outcome.model, (rule,), options, again)
    assert again.fires(rule.name) == 0, "the rule fires again on its own result"
