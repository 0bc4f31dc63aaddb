"""Reflections without a value to fill with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, NotMine, graph_pass
from onnx_demucs_rules.engines.examples import Padded

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

VALUE = 2
"""The place of the value among a Pad's inputs; the axes come after it."""

REFLECTED = """
<ir_version: 8, opset_import: ["": 18]>
reflected (float[2, 8] x) => (float[2, 13] y) <int64[4] pads = {0, 2, 0, 3}, float zero = {0}>
{
    y = Pad<mode = "reflect">(x, pads, zero)
}
"""
ALONG_AXES = REFLECTED.replace("int64[4] pads = {0, 2, 0, 3}", "int64[2] pads = {2, 3}, int64[1] axes = {1}")


def decide(site: NodeSite) -> NotMine | None:
    """A value is given, and the mode does not read it."""
    constant = site.node.attributes.get_string("mode", "constant") == "constant"
    return NotMine() if constant or site.get("constant_value") is None else None


@graph_pass(
    decide=decide,
    on=("Pad",),
    name="pad-without-unread-value",
    why="ONNX reads the value of a Pad only where its mode is constant. Of a reflection with a value, which "
    "demucs' pad1d asks for, tract makes zero padding and says nothing: 31 dB.",
    numerics=EXACT,
    tags={"engines"},
    after=["lighter-branch-first"],
    cases=[
        Case("reflection-with-a-value", lambda: Padded(2, 3), ((2, 3, 8),)),
        Case("edges-with-a-value", lambda: Padded(2, 3, mode="replicate"), ((2, 3, 8),)),
        GraphCase("reflection", REFLECTED),
        GraphCase("along-given-axes", ALONG_AXES.replace("zero)", "zero, axes)")),
        GraphCase("zeros", REFLECTED.replace("reflect\"", "constant\""), fires=0),
    ],
)  # fmt: skip
def pad_without_unread_value(site: NodeSite, _: None) -> None:
    """``Pad<mode = "reflect">(x, pads, value)`` → ``Pad<mode = "reflect">(x, pads)``."""
    node = site.node
    node.replace_input_with(VALUE, None)
    if not any(node.inputs[VALUE:]):
        node.resize_inputs(VALUE)
