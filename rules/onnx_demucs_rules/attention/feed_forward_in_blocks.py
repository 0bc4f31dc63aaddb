"""The feed-forward part of a transformer for some of the steps at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRuleClassBase

from onnx_demucs_compiler.rule import Case, Numerics, rewrite
from onnx_demucs_rules.attention.blocks import block_sizes, in_blocks
from onnx_demucs_rules.attention.examples import FeedForward

if TYPE_CHECKING:
    import onnx_ir as ir

# What one block's hidden layer may take, and what is not worth cutting.
BLOCK_BYTES = 12 << 20

GELU = ("gelu-for-fusion",)


@rewrite(
    name="feed-forward-in-blocks",
    why="Between its two products a layer of HTDemucs is four times as wide: 22 MB for its 2688 steps, and "
    "again for their GELU, which runtimes do not compute in place. The branch of time has half the steps, so "
    "that half the steps of the other branch need no buffers of their own.",
    numerics=Numerics(min_snr_db=125),
    tags={"attention", "speed"},
    cases=[
        Case("two-blocks", lambda: FeedForward(64, 2048), ((1, 2688, 64),), beside=GELU,
             ops={"Split": 1, "Concat": 1}),
        Case("ragged", lambda: FeedForward(8, 2048), ((2, 1601, 8),), beside=GELU,
             ops={"Split": 1}),
        Case("small", lambda: FeedForward(8, 32), ((1, 30, 8),), beside=GELU, fires=0,
             because="hidden layer is small"),
    ],
)  # fmt: skip
class FeedForwardInBlocks(RewriteRuleClassBase):  # type: ignore[misc]
    """``gelu(x W1 + b1) W2 + b2`` → the same for each block of steps, put together."""

    def pattern(self, op: Any, x: ir.Value, w1: ir.Value, b1: ir.Value, w2: ir.Value, b2: ir.Value,
                root: ir.Value, one: ir.Value, half: ir.Value) -> Any:  # fmt: skip
        """Two products and a GELU in the order of ``gelu-for-fusion``."""
        hidden = op.Add(op.MatMul(x, w1), b1, _outputs=["hidden"])
        return op.Add(op.MatMul(_gelu(op, hidden, root, one, half), w2), b2)

    def check(self, _: Any, hidden: ir.Value, **__: Any) -> MatchResult:
        """A large hidden layer of known size."""
        result = MatchResult()
        sizes = block_sizes(hidden, BLOCK_BYTES)
        if sizes is None:
            return result.fail("the number of steps is open")
        if len(sizes) == 1:
            return result.fail("the hidden layer is small")
        return result

    def rewrite(self, op: Any, x: ir.Value, hidden: ir.Value, w1: ir.Value, b1: ir.Value, w2: ir.Value,
                b2: ir.Value, root: ir.Value, one: ir.Value, half: ir.Value) -> ir.Value:  # fmt: skip
        """The same for each block of steps."""
        blocks = in_blocks(op, x, hidden, BLOCK_BYTES)
        wide = [op.Add(op.MatMul(block, w1), b1) for block in blocks]
        narrow = [op.Add(op.MatMul(_gelu(op, block, root, one, half), w2), b2) for block in wide]
        joined: ir.Value = op.Concat(*narrow, axis=-2)
        return joined


def _gelu(op: Any, x: ir.Value, root: ir.Value, one: ir.Value, half: ir.Value) -> ir.Value:
    result: ir.Value = op.Mul(op.Mul(x, op.Add(op.Erf(op.Div(x, root)), one)), half)
    return result
