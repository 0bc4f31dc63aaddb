"""Gated linear units without their Split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.rules import Case, GraphCase, Numerics, Refusal, rewrite
from onnx_demucs_compiler.targets import CPU_RUNTIMES
from onnx_demucs_rules.forms import gated
from onnx_demucs_rules.gating.examples import GATED, Gated

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from onnx_demucs_compiler.rules import NodeSite

WIDE = ((1, 3, 64),)


def gated_convolution(op: Any, x: Any, weight: Any) -> Any:
    """Half a convolution times the sigmoid of the other half."""
    whole = op.Conv(x, weight, _allow_other_inputs=True, _allow_other_attributes=True, _outputs=["whole"])
    return gated(op, *op.Split(whole, _allow_other_attributes=True, _outputs=["first", "second"]))


def decide(site: NodeSite) -> ir.Node | Refusal:
    """The convolution: ungrouped, halved along channels, used nowhere else."""
    convolution, whole = site.maker("whole"), site["whole"]
    if len(whole.uses()) > 1 or whole.is_graph_output():
        return Refusal("the convolution's result is needed whole")
    groups = convolution.attributes.get_int("group", 1)
    if groups != 1:
        return Refusal(f"the convolution works in {groups} groups")
    if site.maker("first").attributes.get_int("axis", 0) != 1:
        return Refusal("the halves are not along the channels")
    return convolution


@rewrite(
    gated_convolution,
    decide=decide,
    shared=True,
    name="glu-as-two-convolutions",
    why="The two halves of a convolution's channels are copied apart, a pass over the widest tensors there "
    "are; and with the halves in convolutions of their own runtimes fuse the sigmoid into one of them. "
    "ONNX Runtime takes 1498 MB for htdemucs without it, 1072 with (default session, "
    "benchmarks/ablation.py).",
    numerics=Numerics(min_snr_db=130),
    targets=CPU_RUNTIMES,
    tags={"gating", "speed"},
    cases=[
        Case("one-dimension", Gated, WIDE, ops={"Conv": 2, "Split": 0}),
        Case("two-dimensions", lambda: Gated(dimensions=2), ((2, 3, 16, 16),), ops={"Conv": 2, "Split": 0}),
        Case("computed-weights", lambda: Gated(scaled=True), WIDE, ops={"Conv": 2}),
        GraphCase("dilated-without-bias", GATED, ops={"Conv": 2, "Split": 1}),
        GraphCase("grouped", GATED.replace("Conv<", "Conv<group = 3, ").replace("[12, 3, 3]", "[12, 1, 3]"),
                  fires=0, because="in 3 groups"),
        GraphCase("needed-whole", GATED.replace("64] y)", "64] y, float[2, 12, 64] whole)"), fires=0,
                  because="needed whole"),
        GraphCase("halves-of-the-samples", GATED.replace("axis = 1", "axis = 2").replace("6, 64]", "12, 32]"),
                  fires=0, because="not along the channels"),
    ],
)  # fmt: skip
def glu_as_two_convolutions(op: Any, site: NodeSite, convolution: ir.Node) -> Any:
    """``a · sigmoid(b)``, ``[a, b] = W * x`` → ``(Wa * x) · sigmoid(Wb * x)``."""
    bias = site.arguments(convolution)["B"]
    weights = _halves(op, site["weight"])
    biases: Sequence[Any] = (None, None) if bias is None else _halves(op, bias)
    first, second = (
        op.Conv(site["x"], *filter(None, pair), **convolution.attributes)
        for pair in zip(weights, biases, strict=True)
    )
    return gated(op, first, second)


def _halves(op: Any, value: ir.Value) -> Sequence[ir.Value]:
    """Cut along the first axis; weights are later stored cut."""
    parts: Sequence[ir.Value] = op.Split(value, axis=0, num_outputs=2, _outputs=2)
    return parts
