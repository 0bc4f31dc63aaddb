"""REWRITE: ONNX subgraphs to better ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_ir.passes import common as passes

from onnx_demucs_compiler.graph.weights import store_as_used
from onnx_demucs_compiler.observe.observer import Moment
from onnx_demucs_compiler.rules.rule import Stage
from onnx_demucs_compiler.stages.driver import apply_rules

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rules.rule import Rule


def apply_rewrites(model: ir.Model, rules: tuple[Rule, ...], options: Options, recorder: Recorder) -> None:
    """Apply rewrite rules in order, in place; merge identical nodes."""
    apply_rules(model, rules, options, recorder)
    passes.DeduplicateInitializersPass()(model)
    passes.CommonSubexpressionEliminationPass()(model)
    store_as_used(model)
    recorder.observer.model(Moment(Stage.REWRITE, len(rules) + 1, "merge"), model)
