"""Gated linear units without their Split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRuleClassBase

from onnx_demucs_compiler.rule import Case, Numerics, rewrite
from onnx_demucs_rules.gating.examples import Gated

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

WIDE = ((1, 3, 64),)


@rewrite(
    name="glu-as-two-convolutions",
    why="The two halves of a convolution's channels are copied apart, a pass over the widest tensors there "
    "are; and with the halves in convolutions of their own runtimes fuse the sigmoid into one of them.",
    numerics=Numerics(min_snr_db=130),
    tags={"gating", "speed"},
    cases=[
        Case("one-dimension", Gated, WIDE, ops={"Conv": 2, "Split": 0}),
        Case("two-dimensions", lambda: Gated(dimensions=2), ((2, 3, 16, 16),), ops={"Conv": 2, "Split": 0}),
        Case("without-bias", lambda: Gated(bias=False), WIDE, ops={"Conv": 2, "Split": 0}),
        Case("computed-weights", lambda: Gated(scaled=True), WIDE, ops={"Conv": 2}),
        Case("dilated", lambda: Gated(dilation=2), WIDE, ops={"Conv": 2, "Split": 0}),
        Case("grouped", lambda: Gated(groups=3), WIDE, fires=0, because="in 3 groups"),
        Case("needed-whole", lambda: Gated(keep=True), WIDE, fires=0, because="needed whole"),
    ],
)  # fmt: skip
class GluAsTwoConvolutions(RewriteRuleClassBase):  # type: ignore[misc]
    """``a · sigmoid(b)``, ``[a, b] = W * x`` → ``(Wa * x) · sigmoid(Wb * x)``."""

    def __init__(self) -> None:
        """Keep the matched nodes, so that a refusal is told where one is needed elsewhere."""
        super().__init__(remove_nodes=False)

    def pattern(self, op: Any, x: ir.Value, weight: ir.Value) -> Any:
        """A product of one half with the sigmoid of the other."""
        whole = op.Conv(x, weight, _allow_other_inputs=True, _allow_other_attributes=True, _outputs=["whole"])
        first, second = op.Split(whole, _allow_other_attributes=True, _outputs=["first", "second"])
        return op.Mul(first, op.Sigmoid(second))

    def check(self, _: Any, whole: ir.Value, first: ir.Value, **__: Any) -> MatchResult:
        """Halves of the channels, of an ungrouped convolution that is used for nothing else."""
        result = MatchResult()
        convolution, split = whole.producer(), first.producer()
        assert convolution is not None, "the pattern matched a Conv"
        assert split is not None, "the pattern matched a Split"
        if len(whole.uses()) > 1 or whole.is_graph_output():
            return result.fail("the convolution's result is needed whole")
        groups = convolution.attributes.get_int("group", 1)
        if groups != 1:
            return result.fail(f"the convolution works in {groups} groups")
        if split.attributes.get_int("axis", 0) != 1:
            return result.fail("the halves are not of the channels")
        return result

    def rewrite(self, op: Any, x: ir.Value, weight: ir.Value, whole: ir.Value, **_: Any) -> ir.Value:
        """A convolution for each half of the weights."""
        convolution = whole.producer()
        assert convolution is not None, "the pattern matched a Conv"
        bias = convolution.inputs[2] if len(convolution.inputs) > 2 else None
        weights = _halves(op, weight)
        biases: Sequence[Any] = (None, None) if bias is None else _halves(op, bias)
        attributes = dict(convolution.attributes)
        first, second = (
            op.Conv(x, *filter(None, pair), **attributes) for pair in zip(weights, biases, strict=True)
        )
        gated: ir.Value = op.Mul(first, op.Sigmoid(second))
        return gated


def _halves(op: Any, value: ir.Value) -> Sequence[ir.Value]:
    """Cut along the first axis; weights are stored as cut at the end of the stage."""
    parts: Sequence[ir.Value] = op.Split(value, axis=0, num_outputs=2, _outputs=2)
    return parts
