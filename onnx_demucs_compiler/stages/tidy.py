"""Folding, merging and dropping in torch.onnx's graph, without changing a number.

onnxscript's ``optimize`` does the same and more. Its default rules also take a factor within 1e-5 of 1 for
1 and a summand within 1e-8 of 0 for 0, and drop it: Bessel's correction ``n / (n - 1)`` over a waveform and
every ``eps = 1e-8`` would be gone. The rules are therefore named one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
from onnx_ir.passes import common as passes
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import RULE_NAME_TAG, RewriteRuleSet
from onnxscript.rewriter.rules import common as rules

from onnx_demucs_compiler.graph.identities import DropIdentities
from onnx_demucs_compiler.graph.weights import may_fold, store_as_used
from onnx_demucs_compiler.stages.matching import by_operator

if TYPE_CHECKING:
    from onnxscript.rewriter import RewriteRule

ROUNDS = 2

TIDY_RULES: tuple[RewriteRule, ...] = (
    rules.cast_cast_rule,
    rules.no_op_cast_rule,
    rules.dropout_inference_rule,
    rules.dropout_zero_rule,
    rules.no_op_expand_rule,
    rules.no_op_transpose_rule,
    rules.transpose_transpose_rule,
    rules.reshape_reshape_rule,
    rules.materialize_reshape_shape_rule,
    rules.flatten_to_reshape_rule,
    rules.squeeze_reshape_1d_rule,
    rules.unsqueeze_unsqueeze_rule,
    rules.collapse_slice_rule,
    rules.collapse_slice2_rule,
    rules.no_op_static_scatter_nd_rule,
    rules.no_op_dynamic_scatter_nd_rule,
    rules.one_reshape_matmul_reshape_rule,
    rules.two_reshapes_matmul_reshape_rule,
    rules.normalize_pad_format_conv_rule,
    rules.fuse_pad_into_conv_rule,
    rules.remove_optional_bias_from_conv_rule,
    rules.remove_optional_bias_from_conv_transpose_rule,
    rules.remove_optional_bias_from_gemm_rule,
)


def tidy(model: ir.Model) -> None:
    """Fold constants, merge identical nodes and drop unused ones, in place.

    Nothing large is stored a second time in another layout, and weights keep their names.
    """
    passes.InlinePass()(model)
    tried = RewriteRuleSet([by_operator(rule) for rule in TIDY_RULES])
    for _ in range(ROUNDS):
        fold_constants_ir(model, onnx_shape_inference=True, should_fold=may_fold)
        tried.apply_to_model(model)
        DropIdentities()(model)
        passes.RemoveUnusedNodesPass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    passes.DeduplicateInitializersPass()(model)
    passes.CommonSubexpressionEliminationPass()(model)
    passes.OutputFixPass()(model)
    passes.NameFixPass()(model)
    store_as_used(model)
    for node in model.graph.all_nodes():
        node.metadata_props.pop(RULE_NAME_TAG, None)
    _make_contiguous(model)


def _make_contiguous(model: ir.Model) -> None:
    """Make the views contiguous that folding Transposes leaves.

    Hashing needs their bytes.
    """
    for name, value in model.graph.initializers.items():
        array = value.const_value.numpy() if value.const_value else None
        if array is not None and not array.flags.c_contiguous:
            value.const_value = ir.tensor(array.copy(), name=name)
