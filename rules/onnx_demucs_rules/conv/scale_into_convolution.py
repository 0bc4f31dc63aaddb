"""A scale per channel as part of a convolution's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRuleClassBase

from onnx_demucs_compiler.rule import Case, Numerics, rewrite
from onnx_demucs_rules.conv.examples import ScaledGate

if TYPE_CHECKING:
    import onnx_ir as ir

GLU = ("glu-as-two-convolutions",)
SHAPE = ((2, 3, 64),)


@rewrite(
    name="scale-into-convolution",
    why="LayerScale multiplies a gate's output by a number for each channel: a pass over the tensor that the "
    "convolution behind the gate can spare.",
    numerics=Numerics(min_snr_db=130),
    tags={"conv", "speed"},
    after=["glu-as-two-convolutions"],
    cases=[
        Case("layer-scale", ScaledGate, SHAPE, ops={"Conv": 2}, beside=GLU),
        Case("without-bias", lambda: ScaledGate(bias=False), SHAPE, ops={"Conv": 2}, beside=GLU),
        Case("two-dimensions", lambda: ScaledGate(dimensions=2), ((2, 3, 16, 16),), beside=GLU),
        Case("along-time", lambda: ScaledGate(shape=(64,)), SHAPE, fires=0, beside=GLU,
             because="not one number for each channel"),
        Case("of-the-input", lambda: ScaledGate(dynamic=True), SHAPE, fires=0, beside=GLU,
             because="depends on the input"),
    ],
)  # fmt: skip
class ScaleIntoConvolution(RewriteRuleClassBase):  # type: ignore[misc]
    """``s · ((W * x + b) · g)`` → ``(sW * x + sb) · g``."""

    def __init__(self) -> None:
        """Keep the matched nodes, so that a refusal is told where one is needed for something else."""
        super().__init__(remove_nodes=False)

    def pattern(self, op: Any, x: ir.Value, weight: ir.Value, gate: ir.Value, scale: ir.Value) -> Any:
        """A gated convolution, scaled."""
        product = op.Conv(
            x, weight, _allow_other_inputs=True, _allow_other_attributes=True, _outputs=["product"]
        )
        return op.Mul(scale, op.Mul(product, gate, _outputs=["gated"]))

    def check(self, _: Any, product: ir.Value, gated: ir.Value, scale: ir.Value, **__: Any) -> MatchResult:
        """A constant per channel; nobody wants the unscaled values."""
        result = MatchResult()
        if scale.const_value is None or scale.shape is None:
            return result.fail("the scale depends on the input")
        assert gated.shape is not None, "shapes are inferred"
        channels = gated.shape[1]
        wanted = (channels, *(1 for _ in gated.shape[2:]))
        if tuple(scale.shape)[-len(wanted) :] != wanted or scale.const_value.size != channels:
            return result.fail("the scale is not one number for each channel")
        if len(product.uses()) > 1 or len(gated.uses()) > 1:
            return result.fail("the unscaled values are needed too")
        return result

    def rewrite(
        self,
        op: Any,
        x: ir.Value,
        weight: ir.Value,
        gate: ir.Value,
        scale: ir.Value,
        product: ir.Value,
        gated: ir.Value,
    ) -> ir.Value:
        """Scale the weights and the bias instead."""
        convolution = product.producer()
        assert convolution is not None, "the pattern matched a Conv"
        assert gated.shape is not None, "the check has looked"
        rank = len(gated.shape)
        scaled = [op.Mul(weight, _column(op, scale, rank))]
        if len(convolution.inputs) > 2 and convolution.inputs[2] is not None:
            scaled.append(op.Mul(convolution.inputs[2], _column(op, scale, 1)))
        result: ir.Value = op.Mul(op.Conv(x, *scaled, **convolution.attributes), gate)
        return result


def _column(op: Any, scale: ir.Value, rank: int) -> ir.Value:
    shape = op.Constant(value_ints=[-1] + [1] * (rank - 1))
    column: ir.Value = op.Reshape(scale, shape)
    return column
