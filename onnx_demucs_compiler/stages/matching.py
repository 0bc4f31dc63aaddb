"""The matches of a rewrite rule, found and replaced by onnxscript's rewriter."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from onnx_ir.passes import common as passes
from onnxscript.rewriter import MatchingTracer, MatchResult, MatchStatus, RewriteRule, RewriteRuleSet

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.graph.identities import DropIdentities
from onnx_demucs_compiler.graph.measure import node_count
from onnx_demucs_compiler.graph.shapes import infer_shapes
from onnx_demucs_compiler.rules.graph_site import NodeSite, NotMine
from onnx_demucs_compiler.rules.rule import Refusal
from onnx_demucs_compiler.tracing.source import origin_in_graph

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.rules.rule import Rule
    from onnx_demucs_compiler.stages.firings import Firings

LEAST_CHAIN = 100
"""Firings, each on what the one before has built, that a small graph allows too."""


def replace_matches(model: ir.Model, rule: Rule, options: Options, firings: Firings) -> None:
    """Apply a rewrite rule in place until no match or a limit.

    Raises:
        CompilerError: it would fire for ever.
    """
    watch = _Watch(firings, max(LEAST_CHAIN, node_count(model)))
    patterns = RewriteRuleSet([by_operator(watch.over(pattern)) for pattern in _patterns(rule, options)])
    while patterns.apply_to_model(model):
        DropIdentities()(model)
        passes.RemoveUnusedNodesPass()(model)
        infer_shapes(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)


def by_operator(pattern: RewriteRule) -> RewriteRule:
    """A pattern's copy, tried on nodes of its last operator only.

    onnxscript's matcher begins an account of every node, and a pattern of several outputs sorts the whole
    graph for each. It also keeps the last graph, and a rule of onnxscript's own would keep its weights for
    good.
    """
    tried = copy.copy(pattern)
    tried._matcher = copy.copy(pattern._matcher)
    rewrite = tried.try_rewrite
    last = pattern._target_pattern.output_nodes[0].op

    def try_rewrite(model: ir.Model, graph: Any, node: ir.Node, **options: Any) -> Any:
        return rewrite(model, graph, node, **options) if last.matches(node.op_type) else None

    tried.try_rewrite = try_rewrite
    return tried


def _patterns(rule: Rule, options: Options) -> list[RewriteRule]:
    """The rule in onnxscript's form: its functions, itself, or its ``patterns``."""
    if rule.pattern is not None:
        asked = _Asked(rule, options)
        return [RewriteRule(rule.pattern, asked.build, asked.decide, remove_nodes=not rule.shared)]
    classes: Any = getattr(rule.implementation, "patterns", (rule.implementation,))
    return [each.rule() for each in classes]


class _Asked:
    """A rule's two functions as onnxscript's check and rewrite."""

    def __init__(self, rule: Rule, options: Options) -> None:
        self.rule, self.options = rule, options

    def decide(self, match: Any, **values: ir.Value | None) -> MatchResult:
        assert self.rule.decide is not None, "a rule with a pattern decides"
        self.site = NodeSite(match.model, self.options, match.root, values)
        self.facts = self.rule.decide(self.site)
        if isinstance(self.facts, Refusal):
            return MatchResult().fail(self.facts.reason)
        return MatchResult().fail() if isinstance(self.facts, NotMine) else MatchResult()

    def build(self, op: Any, **_: Any) -> Any:
        return self.rule.implementation(op, self.site, self.facts)


class _Watch(MatchingTracer):  # type: ignore[misc]
    """Reports firings and refusals; stops a rule that feeds on itself."""

    def __init__(self, firings: Firings, longest_chain: int) -> None:
        super().__init__()
        self.firings, self.longest_chain = firings, longest_chain
        self.chain: dict[ir.Node, int] = {}

    def over(self, pattern: RewriteRule) -> RewriteRule:
        """The pattern, watched: a tracer of onnxscript's own changes nothing."""
        rewrite = pattern.try_rewrite
        pattern.name = None  # the driver signs what is built

        def try_rewrite(model: ir.Model, graph: Any, node: ir.Node, **_: Any) -> Any:
            if self.firings.over:
                return None
            replacement = rewrite(model, graph, node, tracer=self)
            if replacement is not None:
                self.firings.fired(node)
                self._follow(node, replacement)
            return replacement

        pattern.try_rewrite = try_rewrite
        return pattern

    def _follow(self, node: ir.Node, replacement: Any) -> None:
        """Count the firings that led to what was built.

        Raises:
            CompilerError: they are more than any rule needs that comes to an end.
        """
        length = 1 + max((self.chain.get(matched, 0) for matched in replacement.match.nodes), default=0)
        self.chain |= dict.fromkeys(replacement.new_nodes, length)
        if length > self.longest_chain:
            where = ", ".join(filter(None, origin_in_graph(node)))
            raise CompilerError(
                f"rule {self.firings.rule.name} would fire for ever: it matches what it has built, "
                f"{length} times over ({where}); it has to refuse what it builds"
            )

    def log(self, _: Any, __: Any, node: ir.Node, match_result: MatchResult, status: MatchStatus) -> None:
        """Called by onnxscript with each attempt at a match."""
        if status is MatchStatus.CONDITION_FAILED and match_result.reason:
            self.firings.refused(node, match_result.reason)
