"""Gated convolutions of 3×3 by Winograd's algorithm."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.rules import Case, NotMine, Numerics, Refusal, rewrite
from onnx_demucs_compiler.targets import WEB
from onnx_demucs_rules.conv.examples import GatedImage
from onnx_demucs_rules.conv.winograd import Winograd, convolved, winograd
from onnx_demucs_rules.forms import gated

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.rules import NodeSite

GLU = ("glu-as-two-convolutions",)
NAMES = ("content", "gate")


def gated_pair(op: Any, x: Any, content_weight: Any, gate_weight: Any) -> Any:
    """A convolution times the sigmoid of another of the same image."""
    weights = (content_weight, gate_weight)
    pair = (
        op.Conv(x, weight, _allow_other_inputs=True, _allow_other_attributes=True, _outputs=[name])
        for weight, name in zip(weights, NAMES, strict=True)
    )
    return gated(op, *pair)


def decide(site: NodeSite) -> Winograd | Refusal | NotMine:
    """Two convolutions of 3×3 that differ in their weights alone."""
    content, gate = (winograd(site, site.maker(name)) for name in NAMES)
    if isinstance(content, Winograd) and content != gate:
        return Refusal("the gate is padded differently")
    return content


@rewrite(
    gated_pair,
    decide=decide,
    name="gate-by-winograd",
    why="In WebAssembly the largest products of Demucs beside its transformer's are the 3x3 convolutions of "
    "its decoder, in pairs of content and gate. Together they transform their image once, and block by block "
    "neither is ever there as a whole.",
    numerics=Numerics(min_snr_db=112),
    targets={WEB},
    tags={"conv", "gating", "speed"},
    after=["glu-as-two-convolutions", "scale-into-convolution"],
    cases=[
        Case("pair", GatedImage, ((1, 32, 8, 12),), target="web", beside=GLU, ops={"Conv": 1, "Sigmoid": 1}),
        Case("blocks", GatedImage, ((1, 32, 130, 1024),), target="web", beside=GLU,
             ops={"Conv": 3, "Sigmoid": 3, "Concat": 1}),
        Case("few-channels", lambda: GatedImage(8), ((1, 8, 8, 12),), target="web", beside=GLU, fires=0,
             because="of 8 channels"),
        Case("pointwise", lambda: GatedImage(kernel=1), ((1, 32, 8, 12),), target="web", beside=GLU,
             fires=0),
    ],
)  # fmt: skip
def gate_by_winograd(op: Any, site: NodeSite, facts: Winograd) -> ir.Value:
    """``(Wa * x) · sigmoid(Wb * x)`` → both by Winograd's algorithm, in blocks of rows."""
    biases = (site.arguments(site.maker(name))["B"] for name in NAMES)
    filters = list(zip((site["content_weight"], site["gate_weight"]), biases, strict=True))
    return convolved(op, site["x"], filters, facts, partial(gated, op))
