"""Softmax along an axis that is not the last."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import nn

from onnx_demucs_compiler.rules import Case, GraphCase, NotMine, Numerics, Refusal, rewrite

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

MOST_ROWS, LEAST_BEHIND = 16, 64

WEIGHED = """
<ir_version: 8, opset_import: ["": 18]>
weighed (float[2, 3, 80] x) => (float[2, 3, 80] y)
{
    y = Softmax<axis = 1>(x)
}
"""


def weighed(op: Any, x: Any) -> Any:
    """A Softmax."""
    return op.Softmax(x, _outputs=["weights"])


def decide(site: NodeSite) -> int | Refusal | NotMine:
    """The axis from the end, where rows lie behind it."""
    shape = site.shape("x")
    if shape is None:
        return Refusal("the number of axes is unknown")
    axis = site.node.attributes.get_int("axis", -1)
    from_end = axis if axis < 0 else axis - len(shape)
    if from_end == -1:
        return NotMine()
    size, behind = shape[from_end], shape[from_end + 1 :]
    if not isinstance(size, int) or size > MOST_ROWS:
        return Refusal(f"an axis of {size} is not short")
    known = [each for each in behind if isinstance(each, int)]
    if known == list(behind) and math.prod(known) < LEAST_BEHIND:
        return Refusal(f"only {math.prod(known)} numbers lie side by side behind the axis")
    return from_end


@rewrite(
    weighed,
    decide=decide,
    name="softmax-across-rows",
    why="ONNX Runtime transposes a tensor for a Softmax along another axis than the last, and back: masks of "
    "two sources take it five times as long as the operators that a softmax is made of "
    "(benchmarks/forms_in_ort.py).",
    numerics=Numerics(min_snr_db=125),
    tags={"activation", "speed"},
    cases=[
        Case("over-sources", lambda: nn.Softmax(1), ((2, 3, 4, 20),), ops={"Softmax": 0, "Exp": 1}),
        Case("open-batch", lambda: nn.Softmax(1), ((2, 3, 80),), ops={"Softmax": 0},
             options={"batch": "dynamic"}),
        Case("last", lambda: nn.Softmax(-1), ((2, 3, 20),), fires=0, ops={"Softmax": 1}),
        Case("many-rows", lambda: nn.Softmax(1), ((2, 17, 80),), fires=0, because="not short"),
        Case("short-rows", lambda: nn.Softmax(1), ((2, 3, 20),), fires=0, because="side by side"),
        GraphCase("from-the-start", WEIGHED, ops={"Softmax": 0}),
        GraphCase("from-the-end", WEIGHED.replace("axis = 1", "axis = -2"), ops={"Softmax": 0}),
        GraphCase("last-from-the-start", WEIGHED.replace("axis = 1", "axis = 2"), fires=0),
    ],
)  # fmt: skip
def softmax_across_rows(op: Any, site: NodeSite, axis: int) -> Any:
    """``softmax(x, a)`` → ``e / Σ_a e`` with ``e = exp(x − max_a x)``."""
    x, axes = site["x"], op.Constant(value_ints=[axis])
    powers = op.Exp(op.Sub(x, op.ReduceMax(x, axes, keepdims=1)))
    return op.Div(powers, op.ReduceSum(powers, axes, keepdims=1))
