"""Fills that say what they fill with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, NotMine, graph_pass
from onnx_demucs_rules.engines.examples import BetweenZeros

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

FILLED = """
<ir_version: 8, opset_import: ["": 18]>
filled (float[3, 4] x) => (float[3, 4] y) <int64[2] shape = {3, 4}>
{
    zeros = ConstantOfShape(shape)
    y = Add(x, zeros)
}
"""
WITH_ONES = FILLED.replace("(shape)", "<value = float[1] {1}>(shape)")


def decide(site: NodeSite) -> NotMine | None:
    """No value is written."""
    return NotMine() if "value" in site.node.attributes else None


@graph_pass(
    decide=decide,
    on=("ConstantOfShape",),
    name="fill-value-written",
    why="ONNX fills with zeros of float32 where nothing is written. Of a ConstantOfShape without a value MNN "
    "leaves the memory as it was, so that each run gives something else; tract takes it for float64; OpenCV "
    "does not load it.",
    numerics=EXACT,
    tags={"engines"},
    after=["lighter-branch-first"],
    cases=[
        Case("zeros-of-the-model", BetweenZeros, ((2, 3, 5),), fires=2),
        GraphCase("zeros", FILLED),
        GraphCase("ones", WITH_ONES, fires=0),
    ],
)  # fmt: skip
def fill_value_written(site: NodeSite, _: None) -> None:
    """``ConstantOfShape(shape)`` → ``ConstantOfShape<value = 0>(shape)``."""
    site.node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.zeros(1, np.float32)))
