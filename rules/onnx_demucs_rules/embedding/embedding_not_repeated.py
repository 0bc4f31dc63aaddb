"""An embedding added without a copy for every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRuleClassBase

from onnx_demucs_compiler.rule import EXACT, Case, rewrite
from onnx_demucs_rules.embedding.examples import Embedded

if TYPE_CHECKING:
    import onnx_ir as ir

IMAGE = ((1, 8, 6, 20),)


@rewrite(
    name="embedding-not-repeated",
    why="HTDemucs repeats its embedding of the frequencies for every frame before it adds it. Runtimes fold "
    "that when they load the graph, and hold 33 MB for what 0.1 MB says.",
    numerics=EXACT,
    tags={"embedding", "speed"},
    cases=[
        Case("frequencies", Embedded, IMAGE, ops={"Expand": 0}),
        Case("open-batch", Embedded, ((2, 8, 6, 20),), ops={"Expand": 0}, options={"batch": "dynamic"}),
        Case("sum-is-repeated", lambda: Embedded(narrow=True), IMAGE, fires=0, because="takes its shape"),
        Case("scale-of-each-channel", lambda: Embedded(scale=(0.1,) * 8), IMAGE, fires=0,
             because="no single number"),
    ],
)  # fmt: skip
class EmbeddingNotRepeated(RewriteRuleClassBase):  # type: ignore[misc]
    """``x + s · expand(e)`` → ``x + s · e``, where ``x`` is as large as what was expanded."""

    def pattern(self, op: Any, x: ir.Value, embedding: ir.Value, scale: ir.Value) -> Any:
        """An Add of a scaled Expand."""
        repeated = op.Expand(embedding, _allow_other_inputs=True, _outputs=["repeated"])
        return op.Add(x, op.Mul(repeated, scale))

    def check(self, _: Any, x: ir.Value, repeated: ir.Value, scale: ir.Value, **__: Any) -> MatchResult:
        """The Add does not need the Expand to get its shape, nor does the Mul."""
        result = MatchResult()
        if scale.shape is None or scale.shape.rank() > 0:
            return result.fail("the scale is no single number")
        if x.shape is None or x.shape != repeated.shape:
            return result.fail("the sum takes its shape from what is expanded")
        return result

    def rewrite(self, op: Any, x: ir.Value, embedding: ir.Value, scale: ir.Value, **_: Any) -> ir.Value:
        """The sum, by broadcasting."""
        total: ir.Value = op.Add(x, op.Mul(embedding, scale))
        return total
