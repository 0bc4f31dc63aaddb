"""The harness for rules' cases, of bundled and third-party packs alike.

In a pack's test suite::

    @pytest.mark.parametrize(("rule", "case"), rule_cases(load_pack("acme_rules")))
    def test_case(rule, case):
        check_case(rule, case, load_pack("acme_rules"))
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import torch
from onnx_ir.passes import common as passes

from onnx_demucs_compiler.building import Traced, building, finish_graph, lower, trace, translate
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import ALLOWANCE_DB
from onnx_demucs_compiler.errors import CompilerError, InternalError
from onnx_demucs_compiler.graph.measure import operator_histogram
from onnx_demucs_compiler.graph.shapes import infer_shapes
from onnx_demucs_compiler.loading import from_module, make_lively
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.rules.rule import GraphCase, Stage
from onnx_demucs_compiler.rules.ruleset import RuleSet
from onnx_demucs_compiler.runtime.session import session_options
from onnx_demucs_compiler.stages.driver import apply_rules
from onnx_demucs_compiler.stages.finish import finish
from onnx_demucs_compiler.stages.rewrite import apply_rewrites
from onnx_demucs_compiler.stages.substitute import substituted
from onnx_demucs_compiler.view.model_view import ModelView
from onnx_demucs_compiler.view.stem_choice import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from onnx_demucs_compiler.building import Lowered
    from onnx_demucs_compiler.loading import SourceModel
    from onnx_demucs_compiler.rules.rule import Case, Rule

    Arrays = list[NDArray[Any]]

T = TypeVar("T")

OPEN_SIZE = 2
"""The size of a graph case's axes that have a name."""


@dataclass
class Outcome:
    """The result of one build of a case's model.

    Attributes:
        recorder: what fired and what refused.
        model: the graph, ``None`` where the build failed.
        error: why it failed.
    """

    recorder: Recorder
    model: ir.Model | None = None
    error: CompilerError | None = None

    def histogram(self) -> dict[str, int]:
        """The number of nodes of each operator in the graph."""
        return operator_histogram(self.model) if self.model is not None else {}

    def run(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        """Check the graph and run it with ONNX Runtime's own optimisations off."""
        assert self.model is not None, self.error
        try:
            data = finish(copy.copy(self.model), "case").serialized()
        except CompilerError as error:
            raise AssertionError(str(error)) from error
        options = session_options(threads=1)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        feeds = {port.name: value for port, value in zip(session.get_inputs(), inputs, strict=True)}
        outputs: Arrays = session.run(None, feeds)
        return outputs


def rule_cases(rules: RuleSet) -> Iterator[tuple[Rule, Case | GraphCase]]:
    """Every case of every rule; ``f"{rule.name}:{case.name}"`` makes its test id."""
    for rule in rules:
        for case in rule.cases:
            yield rule, case


def check_case(rule: Rule, case: Case | GraphCase, rules: RuleSet) -> None:
    """Run one case of a rule and check all that it says.

    The model or graph is compiled with the rule and without it, and in both builds with the rules that the
    case names in ``beside``. Checked: how often the rule fires and why it refuses; the operators of the
    graph; ``onnx.checker``; parity with the graph without the rule, bit for bit where the rule calls itself
    exact; and that on its own result the rule does not fire again. Of a model also: parity with PyTorch in
    float64 within the rule's numerics, or where it is exact within 12 dB of what PyTorch's float32 keeps;
    and, where it draws random numbers, that builds differ without the rule and agree with it.

    Args:
        rule: the rule.
        case: one of its cases.
        rules: the set in which ``beside`` is looked up.

    Raises:
        AssertionError: the rule does not do what the case says.
    """
    beside = RuleSet(rules[name] for name in case.beside)
    if isinstance(case, GraphCase):
        _check_graph_case(rule, case, beside)
    else:
        _check_module_case(rule, case, beside)


def graphs_of(rule: Rule, case: Case | GraphCase, rules: RuleSet) -> tuple[ir.Model, ir.Model]:
    """The graph of a case without its rule, and with it.

    Args:
        rule: the rule.
        case: one of its cases, whose model can be exported without the rule too.
        rules: the set in which ``beside`` is looked up.
    """
    beside = RuleSet(rules[name] for name in case.beside)
    if isinstance(case, GraphCase):
        options = Options(target=case.target, **case.options)
        without, with_rule = (
            _changed(Outcome(Recorder(), _parsed(case.graph)), chosen, options)
            for chosen in (beside, beside | rule)
        )
    else:
        source, options = case_source(case)
        builds = Builds(source, source.example(), options)
        without, with_rule = builds.attempt(beside), builds.attempt(beside | rule)
    assert without.model is not None, f"without the rule the export fails: {without.error}"
    assert with_rule.model is not None, f"the export fails with the rule: {with_rule.error}"
    return without.model, with_rule.model


def _check_graph_case(rule: Rule, case: GraphCase, beside: RuleSet) -> None:
    options = Options(target=case.target, **case.options)
    generator = np.random.default_rng(0)
    inputs: Arrays = [
        generator.standard_normal(_sizes(value), dtype=np.float32)
        for value in _parsed(case.graph).graph.inputs
    ]
    with_rule, without = (
        _changed(Outcome(Recorder(), _parsed(case.graph)), chosen, options)
        for chosen in (beside | rule, beside)
    )
    _check_firings(rule, case, with_rule)
    _check_operators(case, with_rule)
    _check_same(rule, without.run(inputs), with_rule.run(inputs))
    if case.fires:
        again = _changed(Outcome(Recorder(), with_rule.model), RuleSet([rule]), options)
        _check_quiet(rule, again.recorder)


def _parsed(text: str) -> ir.Model:
    """The model of a text as REWRITE finds it: typed, constants stored."""
    proto = onnx.parser.parse_model(text)
    onnx.checker.check_model(proto, full_check=True)
    model = ir.from_proto(proto)
    infer_shapes(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return model


def _sizes(value: ir.Value) -> list[int]:
    assert value.shape is not None, f"the input {value.name} has no shape"
    return [size if isinstance(size, int) else OPEN_SIZE for size in value.shape]


def _changed(outcome: Outcome, rules: RuleSet, options: Options) -> Outcome:
    """The outcome, its graph put through the stages that work on ONNX."""
    assert outcome.model is not None
    target = options.made_for
    if rewrites := rules.stage(Stage.REWRITE, target):
        apply_rewrites(outcome.model, rewrites, options, outcome.recorder)
    passes_in_order = rules.stage(Stage.SURGERY, target) + rules.storing(options.precision, target)
    apply_rules(outcome.model, passes_in_order, options, outcome.recorder)
    return outcome


def _check_module_case(rule: Rule, case: Case, beside: RuleSet) -> None:
    source, options = case_source(case)
    inputs = source.example()

    builds = Builds(source, inputs, options)
    with_rule = builds.attempt(beside | rule)
    without = builds.attempt(beside)

    _check_firings(rule, case, with_rule)
    if case.needed:
        assert without.error, "the case says that the rule is needed, and the export works without it"
    else:
        assert without.model is not None, f"without the rule the export fails: {without.error}"
    if with_rule.model is None:
        assert case.because, f"the export fails with the rule: {with_rule.error}"
        return
    _check_operators(case, with_rule)
    view = ModelView(source, options)
    tried = tuple(torch.randn(value.shape) for value in view.probe()) if options.track else inputs
    outputs = with_rule.run(_arrays(tried))
    _check_reference(rule, view, tried, outputs)
    if case.random:
        random.seed(1)
        torch.manual_seed(1)
        _check_random(without, attempt(source, inputs, beside, options), _arrays(inputs))
        without = attempt(source, inputs, beside | rule, options)
    if without.model is not None and not options.track:
        _check_same(rule, _chosen(view, inputs, beside, without), outputs)
    if case.fires:
        _check_idempotent(rule, builds, beside, with_rule)


def _arrays(inputs: tuple[torch.Tensor, ...]) -> Arrays:
    return [value.numpy() for value in inputs]


def case_source(case: Case) -> tuple[SourceModel, Options]:
    """The model of a case with its inputs, and the options.

    Weights and inputs are drawn under a fixed seed.
    """
    random.seed(0)
    torch.manual_seed(0)
    module = case.module().eval().requires_grad_(False)
    make_lively(module, seed=0)
    inputs = tuple(torch.randn(shape) for shape in case.inputs)
    source = from_module(module, example_input=inputs)
    return source, Options(target=case.target, sources=source.sources, **case.options)


class Builds:
    """Graphs of one model under several sets of rules.

    Builds share what comes before the first stage in which their rules differ.
    """

    def __init__(self, source: SourceModel, inputs: tuple[torch.Tensor, ...], options: Options) -> None:
        self.source, self.inputs, self.options = source, inputs, options
        self._known: dict[tuple[str, ...], Any] = {}

    def attempt(self, rules: RuleSet) -> Outcome:
        """Build the graph, or keep the error.

        Raises:
            InternalError: a fault of this compiler, or of what it calls.
        """
        recorder, options = Recorder(), self.options
        try:
            with building():
                model = finish_graph(self._translated(rules, recorder).clone(), rules, options, recorder)
            apply_rules(model, rules.storing(options.precision, options.made_for), options, recorder)
            return Outcome(recorder, model)
        except InternalError:
            raise
        except CompilerError as error:
            return Outcome(recorder, error=error)

    def lowered(self, rules: RuleSet, recorder: Recorder) -> Lowered:
        """The program after DECOMPOSE."""
        return self._once(
            Stage.DECOMPOSE, rules, lambda: lower(self._traced(rules, recorder), rules, recorder)
        )

    def _traced(self, rules: RuleSet, recorder: Recorder) -> Traced:
        return self._once(
            Stage.SUBSTITUTE, rules, lambda: trace(self.source, self.inputs, rules, self.options, recorder)
        )

    def _translated(self, rules: RuleSet, recorder: Recorder) -> ir.Model:
        return self._once(
            Stage.TRANSLATE, rules, lambda: translate(self.lowered(rules, recorder), rules, recorder)
        )

    def _once(self, last: Stage, rules: RuleSet, build: Callable[[], T]) -> T:
        """Build up to a stage, unless the same rules have."""
        key = (last.label, *(rule.name for rule in rules if rule.stage <= last))
        if key not in self._known:
            self._known[key] = build()
        made: T = self._known[key]
        return made


def attempt(
    source: SourceModel, inputs: tuple[torch.Tensor, ...], rules: RuleSet, options: Options
) -> Outcome:
    """Build the graph of a model, or keep the error.

    Raises:
        InternalError: a fault of this compiler, or of what it calls.
    """
    return Builds(source, inputs, options).attempt(rules)


def _check_firings(rule: Rule, case: Case | GraphCase, outcome: Outcome) -> None:
    recorder, error = outcome.recorder, outcome.error
    assert recorder.fires(rule.name) == case.fires, f"fired {recorder.fires(rule.name)} times; {error or ''}"
    reasons = [event.reason for event in recorder.events if event.rule == rule.name and event.reason]
    if case.because:
        reasons += [str(error)] if error else []
        assert any(case.because in reason for reason in reasons), f"reasons given: {reasons}"
    elif not case.fires:
        assert not reasons, f"the case gives no reason, and the rule does: {reasons}"


def _check_operators(case: Case | GraphCase, outcome: Outcome) -> None:
    found = outcome.histogram()
    assert {op: found.get(op, 0) for op in case.ops} == dict(case.ops), f"the graph holds {found}"


def _check_reference(rule: Rule, view: ModelView, inputs: tuple[torch.Tensor, ...], outputs: Arrays) -> None:
    """Compare with float64; an exact rule keeps what float32 keeps."""
    module = view.source.module
    reference = view.run(copy.deepcopy(module).double(), tuple(value.double() for value in inputs))
    eager = view.run(module, inputs)
    for wanted, single, got in zip(reference, eager, outputs, strict=True):
        reached, bound = snr_db(wanted, got), rule.numerics.min_snr_db
        if bound is None:
            bound = snr_db(wanted, single) - ALLOWANCE_DB
        assert reached >= bound, f"{reached:.1f} dB against float64, and {bound:.1f} dB are asked for"


def _check_same(rule: Rule, wanted: Arrays, outputs: Arrays) -> None:
    bound = rule.numerics.min_snr_db
    for plain, got in zip(wanted, outputs, strict=True):
        if bound is None:
            np.testing.assert_array_equal(got, plain, "an exact rule changed the output")
        else:
            # Both graphs round on their own, which costs 3 dB, and the plain one may be the worse.
            reached = snr_db(plain, got)
            assert reached >= bound - 6, f"{reached:.1f} dB against the graph without the rule"


def _chosen(view: ModelView, inputs: tuple[torch.Tensor, ...], beside: RuleSet, without: Outcome) -> Arrays:
    """The outputs without the rule, the case's stems chosen."""
    source, options, arrays = view.source, view.options, _arrays(inputs)
    if view.stems == source.sources:
        return without.run(arrays)
    whole = attempt(source, inputs, beside, replace(options, stems=None, two_stems=None))
    return [choose(options, source.sources, arrays[0], output) for output in whole.run(arrays)]


def _check_random(one: Outcome, other: Outcome, inputs: Arrays) -> None:
    pairs = zip(one.run(inputs), other.run(inputs), strict=True)
    same = all(np.array_equal(*pair) for pair in pairs)
    assert not same, "the case says that builds without the rule differ, and two of them agree"


def _check_idempotent(rule: Rule, builds: Builds, beside: RuleSet, outcome: Outcome) -> None:
    """Apply the rule to its own result.

    A translation has no ATen left to apply to.
    """
    again, module = Recorder(), builds.source.module
    assert outcome.model is not None
    if rule.stage is Stage.SUBSTITUTE:
        with substituted(module, [rule], Recorder()), substituted(module, [rule], again):
            pass
    elif rule.stage is Stage.DECOMPOSE:
        program, _, view = builds.lowered(beside | rule, Recorder())
        with building():
            lower(Traced(program, view.dynamic_shapes(), view), beside | rule, again)
    elif rule.stage in (Stage.REWRITE, Stage.SURGERY, Stage.STORE):
        _changed(Outcome(again, outcome.model), RuleSet([rule]), builds.options)
    _check_quiet(rule, again)


def _check_quiet(rule: Rule, recorder: Recorder) -> None:
    assert recorder.fires(rule.name) == 0, "the rule fires again on its own result"
