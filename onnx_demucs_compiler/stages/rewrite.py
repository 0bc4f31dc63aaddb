"""REWRITE: ONNX subgraphs to better ones, by onnxscript's rewriter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from onnx_ir.passes import common as passes
from onnxscript.rewriter import RULE_NAME_TAG, MatchingTracer, MatchStatus, RewriteRuleSet

from onnx_demucs_compiler.stages.decompose import RULE_KEY
from onnx_demucs_compiler.stages.measure import accounted

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnxscript.rewriter import MatchResult
    from onnxscript.rewriter.pattern import RewriteRuleClassBase

    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rule import Rule


def rewritten(model: ir.Model, rules: tuple[Rule, ...], recorder: Recorder) -> None:
    """Apply rewrite rules in order, in place, each until it matches no more.

    Args:
        model: changed in place.
        rules: rewrite rules.
        recorder: told of every firing, and of every node that matched a pattern and failed its check.
    """
    for rule in rules:
        with recorder.timed(rule), accounted(model, recorder.cost(rule)):
            _apply(model, rule, recorder)


def _apply(model: ir.Model, rule: Rule, recorder: Recorder) -> None:
    rule_class = cast("type[RewriteRuleClassBase]", rule.implementation)
    pattern = RewriteRuleSet([rule_class.rule()])
    tracer = _Tracer()
    pattern.apply_to_model(model, tracer=tracer)
    for name, reason in tracer.refusals:
        recorder.refused(rule, name, reason)
    while count := pattern.apply_to_model(model):
        for _ in range(count):
            recorder.fired(rule, "")
        passes.RemoveUnusedNodesPass()(model)
        passes.ShapeInferencePass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for node in model.graph.all_nodes():
        if node.metadata_props.pop(RULE_NAME_TAG, None):
            node.metadata_props[RULE_KEY] = rule.name


class _Tracer(MatchingTracer):  # type: ignore[misc]
    """Keeps every match that its rule's check turned down; with a tracer nothing is rewritten."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals: list[tuple[str, str]] = []

    def log(
        self, rule: Any, container: Any, node: ir.Node, match_result: MatchResult, status: MatchStatus
    ) -> None:
        super().log(rule, container, node, match_result, status)
        if status is MatchStatus.CONDITION_FAILED:
            self.refusals.append((node.name or node.op_type, match_result.reason))
