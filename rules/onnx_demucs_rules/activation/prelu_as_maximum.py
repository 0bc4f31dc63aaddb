"""PRelu by operators that runtimes compute in vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, Refusal, rewrite
from onnx_demucs_rules.activation.examples import Slopes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnx_demucs_compiler.rules import NodeSite

SLOPED = """
<ir_version: 8, opset_import: ["": 18]>
sloped (float[2, 3, 5] x) => (float[2, 3, 5] y) <float[3, 1] slope = {0.25, -0.5, 1.0}>
{
    y = PRelu(x, slope)
}
"""
ONE = SLOPED.replace("float[3, 1] slope = {0.25, -0.5, 1.0}", "float[1] slope = {1.5}")


def sloped(op: Any, x: Any, slope: Any) -> Any:
    """A PRelu."""
    return op.PRelu(x, slope)


def decide(site: NodeSite) -> NDArray[Any] | Refusal:
    """Slopes that are known, and all on one side of 1."""
    slopes = site.static("slope")
    if slopes is None:
        return Refusal("the slopes depend on the input")
    if slopes.size != 1 and (slopes > 1).any() and (slopes < 1).any():
        return Refusal("some slopes are above 1 and some below")
    return slopes


@rewrite(
    sloped,
    decide=decide,
    name="prelu-as-maximum",
    why="ONNX Runtime computes a PRelu number by number: a third of the time of a Conv-TasNet, which has one "
    "after every convolution. A Mul and a Max take a fifth of it, a LeakyRelu a ninth "
    "(benchmarks/forms_in_ort.py).",
    numerics=EXACT,
    tags={"activation", "speed"},
    cases=[
        Case("one-slope", Slopes, ((2, 4, 20),), ops={"PRelu": 0, "LeakyRelu": 1}),
        Case("a-slope-for-each-channel", lambda: Slopes(4), ((2, 4, 20),), ops={"PRelu": 0, "Max": 1}),
        Case("open-batch", lambda: Slopes(4), ((2, 4, 20),), ops={"PRelu": 0},
             options={"batch": "dynamic"}),
        GraphCase("slopes-of-both-signs", SLOPED, ops={"Max": 1}),
        GraphCase("one-steep-slope", ONE, ops={"LeakyRelu": 1}),
        GraphCase("all-steep", SLOPED.replace("0.25, -0.5, 1.0", "1.5, 2.0, 1.0"), ops={"Min": 1}),
        GraphCase("steep-and-flat", SLOPED.replace("-0.5", "1.5"), fires=0, because="above 1 and some below"),
        GraphCase("slopes-from-the-input", SLOPED.replace("PRelu(x, slope)", "PRelu(x, x)"), fires=0,
                  because="depend on the input"),
    ],
)  # fmt: skip
def prelu_as_maximum(op: Any, site: NodeSite, slopes: NDArray[Any]) -> Any:
    """``PRelu(x, a)`` → ``Max(x, a · x)`` for slopes up to 1; ``LeakyRelu(x)`` for a single one."""
    x = site["x"]
    if slopes.size == 1:
        return op.LeakyRelu(x, alpha=float(slopes.item()))
    scaled = op.Mul(x, site["slope"])
    return op.Min(x, scaled) if (slopes > 1).any() else op.Max(x, scaled)
