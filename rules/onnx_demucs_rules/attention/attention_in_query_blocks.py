"""Attention for some of the queries at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRuleClassBase

from onnx_demucs_compiler.rule import Case, Numerics, rewrite
from onnx_demucs_rules.attention.blocks import block_sizes, in_blocks
from onnx_demucs_rules.attention.examples import CrossAttention, SelfAttention

if TYPE_CHECKING:
    import onnx_ir as ir

# The scores of one block, and what is not worth cutting.
BLOCK_BYTES = 8 << 20

ATTENTION = ("attention-as-matmul",)


@rewrite(
    name="attention-in-query-blocks",
    why="The scores of all queries and keys and their softmax are by far the largest tensors of HTDemucs, "
    "231 MB each for its 2688 steps, while everything else needs 150 MB.",
    numerics=Numerics(min_snr_db=130),
    tags={"attention", "speed"},
    after=["attention-fused"],
    cases=[
        Case("self", lambda: SelfAttention(channels=4, heads=2), ((1, 1400, 4),), beside=ATTENTION,
             ops={"Softmax": 2}),
        Case("ragged", lambda: CrossAttention(), ((1, 1, 1402, 2), (1, 1, 3501, 2)), beside=ATTENTION,
             ops={"Softmax": 3}),
        Case("small", lambda: SelfAttention(channels=4, heads=2), ((1, 250, 4),), fires=0, beside=ATTENTION,
             because="are small"),
    ],
)  # fmt: skip
class AttentionInQueryBlocks(RewriteRuleClassBase):  # type: ignore[misc]
    """``softmax(Q K) V`` → ``concat(softmax(Q1 K) V, softmax(Q2 K) V, …)``."""

    def pattern(self, op: Any, query: ir.Value, key: ir.Value, value: ir.Value) -> Any:
        """Two products with a softmax between them."""
        scores = op.MatMul(query, key, _outputs=["scores"])
        return op.MatMul(op.Softmax(scores, axis=-1), value)

    def check(self, _: Any, scores: ir.Value, **__: Any) -> MatchResult:
        """Large scores of known size."""
        result = MatchResult()
        sizes = block_sizes(scores, BLOCK_BYTES)
        if sizes is None:
            return result.fail("the number of queries and keys is open")
        if len(sizes) == 1:
            return result.fail("the scores are small")
        return result

    def rewrite(self, op: Any, query: ir.Value, key: ir.Value, value: ir.Value, scores: ir.Value) -> ir.Value:
        """The same for each block of queries."""
        parts = in_blocks(op, query, scores, BLOCK_BYTES)
        results = [op.MatMul(op.Softmax(op.MatMul(part, key), axis=-1), value) for part in parts]
        joined: ir.Value = op.Concat(*results, axis=-2)
        return joined
