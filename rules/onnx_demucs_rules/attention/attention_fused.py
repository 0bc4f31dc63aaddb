"""Attention as one operator of ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRuleClassBase

from onnx_demucs_compiler.rule import Case, Numerics, rewrite
from onnx_demucs_rules.attention.examples import CrossAttention, SelfAttention

if TYPE_CHECKING:
    import onnx_ir as ir

ONE = {"MultiHeadAttention": 1, "Softmax": 0, "Transpose": 0}
SHAPE = ((2, 40, 32),)
APART = [0, 2, 1, 3]
APART_KEYS = [0, 2, 3, 1]

BESIDE = ("attention-as-matmul", "multihead-batch-first")


@rewrite(
    name="attention-fused",
    why="ONNX Runtime's own operator goes through keys and values in blocks that stay in the cache and never "
    "stores the scores of all queries and keys: 231 MB for the 2688 steps of HTDemucs.",
    numerics=Numerics(min_snr_db=120),
    targets={"ort"},
    tags={"attention", "speed"},
    cases=[
        Case("self", SelfAttention, SHAPE, target="ort", beside=BESIDE, ops=ONE),
        Case("without-bias", lambda: SelfAttention(bias=False), SHAPE, target="ort", beside=BESIDE, ops=ONE),
        Case("open-batch", SelfAttention, SHAPE, target="ort", beside=BESIDE, ops=ONE,
             options={"batch": "dynamic"}),
        Case("mask", lambda: SelfAttention(masked=True), SHAPE, target="ort", beside=BESIDE, fires=0),
        Case("heads-first", lambda: CrossAttention(together=True), ((1, 4, 30, 8), (1, 4, 50, 8)),
             target="ort", beside=BESIDE, fires=0, because="not taken apart right before"),
    ],
)  # fmt: skip
class AttentionFused(RewriteRuleClassBase):  # type: ignore[misc]
    """``softmax(s·Q Kᵀ) V``, heads taken apart and put together → ``com.microsoft.MultiHeadAttention``."""

    def pattern(self, op: Any, queries: ir.Value, keys: ir.Value, values: ir.Value, scale: ir.Value) -> Any:
        """``[B, H, T, D]`` three times, the keys as ``[B, H, D, T]``, to ``[B, T, H, D]``."""
        weights = op.Softmax(op.MatMul(op.Mul(queries, scale), keys), axis=-1)
        return op.Transpose(op.MatMul(weights, values), perm=[0, 2, 1, 3])

    def check(
        self, _: Any, queries: ir.Value, keys: ir.Value, values: ir.Value, scale: ir.Value
    ) -> MatchResult:
        """A constant scale, and heads that come from ``[B, T, H, D]``."""
        result = MatchResult()
        if scale.const_value is None or scale.const_value.size != 1:
            return result.fail("the scale depends on the input")
        if any(_before(*pair) is None for pair in ((queries, APART), (keys, APART_KEYS), (values, APART))):
            return result.fail("the heads are not taken apart right before")
        return result

    def rewrite(
        self, op: Any, queries: ir.Value, keys: ir.Value, values: ir.Value, scale: ir.Value
    ) -> ir.Value:
        """Heads side by side, as they were before they were taken apart."""
        query, key, value = _before(queries, APART), _before(keys, APART_KEYS), _before(values, APART)
        assert query is not None, "the check has looked"
        assert value is not None, "the check has looked"
        assert scale.const_value is not None, "the check has looked"
        together = op.Constant(value_ints=[0, 0, -1])
        attended = op.MultiHeadAttention(
            *(op.Reshape(x, together) for x in (query, key, value)),
            num_heads=_sizes(query)[2],
            scale=float(scale.const_value.numpy().item()),
            _domain="com.microsoft",
            _version=1,
        )
        result: ir.Value = op.Reshape(attended, op.Constant(value_ints=[0, 0, *_sizes(value)[2:]]))
        return result


def _before(heads: ir.Value, perm: list[int]) -> ir.Value | None:
    """What a Transpose by ``perm`` made the heads of, if the number and the width of these are known."""
    node = heads.producer()
    if node is None or node.op_type != "Transpose" or list(node.attributes["perm"].as_ints()) != perm:
        return None
    source = node.inputs[0]
    return source if source is not None and source.shape and len(_sizes(source)) == 4 else None


def _sizes(value: ir.Value) -> list[int]:
    """The shape, without what is open in its last two dimensions."""
    assert value.shape is not None, "the caller has looked"
    return [0, 0, *(size for size in value.shape[2:] if isinstance(size, int))]
