"""The driver of the rules that work on ONNX graphs.

It takes the rules of a level one by one, hands out the sites, signs what a rule has built, tells the recorder
and the observer, and holds the rule to what the level promises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.graph.measure import accounted
from onnx_demucs_compiler.graph.shapes import infer_shapes
from onnx_demucs_compiler.observe.observer import Moment
from onnx_demucs_compiler.rules.rule import RULE_KEY, Stage
from onnx_demucs_compiler.stages.firings import Firings
from onnx_demucs_compiler.stages.matching import replace_matches
from onnx_demucs_compiler.stages.surgery import KEPT, operate
from onnx_demucs_compiler.targets import target_named

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rules.rule import Rule

COMPLEX = (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128)


def apply_rules(model: ir.Model, rules: Iterable[Rule], options: Options, recorder: Recorder) -> None:
    """Apply rules of REWRITE, SURGERY or STORE in order, in place.

    Args:
        model: changed in place.
        rules: of one stage.
        options: compiled for.
        recorder: told of every firing and refusal; its observer is shown the graph after a rule that fired.

    Raises:
        CompilerError: a rule builds what the level must not hold, or would fire for ever.
        InternalError: a rule fails.
    """
    for place, rule in enumerate(rules, 1):
        with recorder.running(rule), accounted(model, recorder.cost(rule)):
            fires = apply_rule(model, rule, options, recorder)
        if fires:
            recorder.observer.model(Moment(rule.stage, place, rule.name, rule, fires), model)


def apply_rule(
    model: ir.Model, rule: Rule, options: Options, recorder: Recorder, at_most: int | None = None
) -> int:
    """Apply one rule in place; return how often it fired."""
    standing = set(model.graph.all_nodes())
    firings = Firings(rule, recorder, at_most)
    walk = replace_matches if rule.stage is Stage.REWRITE else operate
    walk(model, rule, options, firings)
    if firings.count:
        built = _built(model, standing)
        for node in built:
            node.metadata_props[RULE_KEY] = rule.name
        _check(model, built, rule, target_named(options.target).domains | rule.domains)
    return firings.count


def _built(model: ir.Model, standing: set[ir.Node]) -> list[ir.Node]:
    """The nodes that did not stand in the graph before."""
    return [node for node in model.graph.all_nodes() if node not in standing and not node.meta.get(KEPT)]


def _check(model: ir.Model, built: list[ir.Node], rule: Rule, domains: Collection[str]) -> None:
    """Hold what a rule has built to what every level promises.

    Raises:
        CompilerError: it is of another domain, complex, or of no type.
    """
    for node in built:
        domain = node.domain or "ai.onnx"
        if domain not in domains:
            raise _broken(rule, f"{domain}.{node.op_type}, and may use {', '.join(sorted(domains))} only")
        if any(output.dtype in COMPLEX for output in node.outputs):
            raise _broken(rule, f"a complex value by {node.op_type}, and ONNX runtimes have none")
    if any(map(_is_untyped, built)):
        # On a copy: the file describes no more values than those that rules give a type.
        typed = model.clone()
        infer_shapes(typed)
        twins = dict(zip(model.graph.all_nodes(), typed.graph.all_nodes(), strict=True))
        if unknown := next((node for node in built if _is_untyped(twins[node])), None):
            raise _broken(rule, f"{unknown.op_type} ({unknown.name}), whose type ONNX cannot infer")


def _is_untyped(node: ir.Node) -> bool:
    """True for an untyped result of ONNX's operators on typed values."""
    if node.domain or any(value is not None and value.type is None for value in node.inputs):
        return False
    return any(value.type is None and value.name != "" for value in node.outputs)


def _broken(rule: Rule, what: str) -> CompilerError:
    return CompilerError(f"rule {rule.name} builds {what}; leave it out (--without) and report it")
