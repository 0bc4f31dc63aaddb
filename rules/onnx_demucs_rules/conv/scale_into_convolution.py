"""A scale per channel as part of a convolution's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, rewrite
from onnx_demucs_rules.conv.examples import ScaledGate

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.rules import NodeSite

GLU = ("glu-as-two-convolutions",)
SHAPE = ((2, 3, 64),)


def scaled_gate(op: Any, x: Any, weight: Any, gate: Any, scale: Any) -> Any:
    """A gated convolution, scaled."""
    product = op.Conv(x, weight, _allow_other_inputs=True, _allow_other_attributes=True, _outputs=["product"])
    return op.Mul(scale, op.Mul(product, gate, _outputs=["gated"]))


def decide(site: NodeSite) -> int | Refusal:
    """The convolution's rank; refuse other scales, and other uses."""
    scale = site.static("scale")
    if scale is None:
        return Refusal("the scale depends on the input")
    _, channels, *spatial = site.shape("gated") or (0, 0)
    wanted = (channels, *(1 for _ in spatial))
    if scale.shape[-len(wanted) :] != wanted or scale.size != channels:
        return Refusal("the scale is not one number for each channel")
    if len(site["product"].uses()) > 1 or len(site["gated"].uses()) > 1:
        return Refusal("the unscaled values are needed too")
    return 2 + len(spatial)


@rewrite(
    scaled_gate,
    decide=decide,
    shared=True,
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
def scale_into_convolution(op: Any, site: NodeSite, rank: int) -> Any:
    """``s · ((W * x + b) · g)`` → ``(sW * x + sb) · g``."""
    convolution = site.maker("product")
    bias = site.arguments(convolution)["B"]
    scaled = [op.Mul(site["weight"], _column(op, site["scale"], rank))]
    if bias is not None:
        scaled.append(op.Mul(bias, _column(op, site["scale"], 1)))
    return op.Mul(op.Conv(site["x"], *scaled, **convolution.attributes), site["gate"])


def _column(op: Any, scale: ir.Value, rank: int) -> ir.Value:
    shape = op.Constant(value_ints=[-1] + [1] * (rank - 1))
    column: ir.Value = op.Reshape(scale, shape)
    return column
