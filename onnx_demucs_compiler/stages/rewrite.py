"""REWRITE: ONNX subgraphs to better ones, by onnxscript's rewriter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from onnx_ir.passes import common as passes
from onnxscript.rewriter import RULE_NAME_TAG, MatchingTracer, MatchStatus, RewriteRuleSet

from onnx_demucs_compiler.stages.decompose import RULE_KEY
from onnx_demucs_compiler.stages.measure import accounted
from onnx_demucs_compiler.stages.shapes import infer_shapes
from onnx_demucs_compiler.stages.weights import store_as_used

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnxscript.rewriter import MatchResult
    from onnxscript.rewriter.pattern import RewriteRuleClassBase

    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rule import Rule


def rewritten(model: ir.Model, rules: tuple[Rule, ...], recorder: Recorder) -> None:
    """Apply rewrite rules in order, in place, each until it matches no more; then merge what they made alike.

    Args:
        model: changed in place.
        rules: rewrite rules.
        recorder: told of every firing, and of every node that matched a pattern and failed its check.
    """
    for rule in rules:
        with recorder.timed(rule), accounted(model, recorder.cost(rule)):
            _apply(model, rule, recorder)
    passes.DeduplicateInitializersPass()(model)
    passes.CommonSubexpressionEliminationPass()(model)
    store_as_used(model)


def _patterns_of(rule: Rule) -> tuple[type[RewriteRuleClassBase], ...]:
    """The classes that a rewrite rule consists of: itself, or those that it names as ``patterns``."""
    patterns = getattr(rule.implementation, "patterns", (rule.implementation,))
    return cast("tuple[type[RewriteRuleClassBase], ...]", patterns)


def _apply(model: ir.Model, rule: Rule, recorder: Recorder) -> None:
    for name, reason in _refusals(model, rule):
        recorder.refused(rule, name, reason)
    pattern = RewriteRuleSet([pattern.rule() for pattern in _patterns_of(rule)])
    while count := pattern.apply_to_model(model):
        for _ in range(count):
            recorder.fired(rule, "")
        passes.IdentityEliminationPass()(model)
        passes.RemoveUnusedNodesPass()(model)
        infer_shapes(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for node in model.graph.all_nodes():
        if node.metadata_props.pop(RULE_NAME_TAG, None):
            node.metadata_props[RULE_KEY] = rule.name


def _refusals(model: ir.Model, rule: Rule) -> list[tuple[str, str]]:
    """Every match that the rule's check turns down; nothing is rewritten, or even made for the occasion."""
    trials: list[Any] = [type("Trial", (pattern,), {"rewrite": _nothing}) for pattern in _patterns_of(rule)]
    tracer = _Tracer()
    RewriteRuleSet([trial.rule() for trial in trials]).apply_to_model(model, tracer=tracer)
    return tracer.refusals


def _nothing(*_: Any, **__: Any) -> None:
    return None


class _Tracer(MatchingTracer):  # type: ignore[misc]
    """Keeps every match that its rule's check turned down."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals: list[tuple[str, str]] = []

    def log(
        self, rule: Any, container: Any, node: ir.Node, match_result: MatchResult, status: MatchStatus
    ) -> None:
        super().log(rule, container, node, match_result, status)
        if status is MatchStatus.CONDITION_FAILED:
            self.refusals.append((node.name or node.op_type, match_result.reason))
