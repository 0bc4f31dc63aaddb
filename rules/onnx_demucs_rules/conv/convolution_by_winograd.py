"""Convolutions of 3×3 by Winograd's algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from onnx_demucs_compiler.rules import Case, GraphCase, NotMine, Numerics, Refusal, rewrite
from onnx_demucs_compiler.targets import WEB
from onnx_demucs_rules.conv.examples import SAME_PADDING
from onnx_demucs_rules.conv.winograd import Winograd, convolved, winograd

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.rules import NodeSite

IMAGE = ((1, 32, 8, 12),)


def convolution(op: Any, x: Any, weight: Any) -> Any:
    """Any convolution."""
    return op.Conv(x, weight, _allow_other_inputs=True, _allow_other_attributes=True, _outputs=["results"])


def decide(site: NodeSite) -> Winograd | Refusal | NotMine:
    """A convolution of 3×3, of enough channels."""
    return winograd(site, site.maker("results"))


@rewrite(
    convolution,
    decide=decide,
    name="convolution-by-winograd",
    why="WebAssembly multiplies five times slower than the processor it runs on, and copies nearly as fast. "
    "Winograd's algorithm has a quarter of the multiplications, and passes over transformed tensors instead.",
    numerics=Numerics(min_snr_db=112),
    targets={WEB},
    tags={"conv", "speed"},
    after=["gate-by-winograd"],
    cases=[
        Case("whole-tiles", lambda: nn.Conv2d(32, 40, 3, padding=1), IMAGE,
             target="web", ops={"Conv": 1, "MatMul": 3, "Slice": 0, "Concat": 0}),
        Case("cut-tiles", lambda: nn.Conv2d(32, 32, 3, padding=(0, 2), bias=False), ((1, 32, 9, 11),),
             target="web", ops={"Conv": 1, "Slice": 1}),
        Case("blocks", lambda: nn.Conv2d(32, 32, 3, padding=1), ((1, 32, 130, 1024),),
             target="web", ops={"Conv": 3, "Concat": 1}),
        Case("few-channels", lambda: nn.Conv2d(32, 8, 3, padding=1), IMAGE, target="web", fires=0,
             because="of 8 channels"),
        Case("two-images", lambda: nn.Conv2d(32, 32, 3), ((2, 32, 8, 12),), target="web", fires=0,
             because="there are 2 images"),
        Case("open-batch", lambda: nn.Conv2d(32, 32, 3), ((2, 32, 8, 12),), target="web", fires=0,
             options={"batch": "dynamic"}, because="is open"),
        GraphCase("padding-of-the-runtime", SAME_PADDING, target="web", fires=0,
                  because="left to the runtime"),
        Case("strided", lambda: nn.Conv2d(32, 32, 3, stride=2), IMAGE, target="web", fires=0),
        Case("along-one-axis", lambda: nn.Conv2d(32, 32, (3, 1)), IMAGE, target="web", fires=0),
    ],
)  # fmt: skip
def convolution_by_winograd(op: Any, site: NodeSite, facts: Winograd) -> ir.Value:
    """``W * x`` → ``Aᵀ ((G W Gᵀ) ⊙ (Bᵀ x B)) A``, for tiles of 4×4 results."""
    bias = site.arguments(site.maker("results"))["B"]
    return convolved(op, site["x"], [(site["weight"], bias)], facts, lambda results: results)
