"""Shapes of new values are what ONNX infers over the whole graph, and cost a look at the new nodes alone."""

import onnx_ir as ir
import pytest
from onnx_ir.passes import common as passes

from onnx_demucs_compiler.graph.shapes import infer_shapes

HEADER = '<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]>'
STATIC = f"""{HEADER}
known (float[2, 6, 4] x) => (float[2, 12, 2] y) <int64[3] shape = {{2, -1, 2}}> {{
    a = Reshape(x, shape)
    b, c = Split<axis = 1, num_outputs = 2>(a)
    d = Concat<axis = 1>(b, c)
    y = Exp(d)
}}
"""
OPEN = f"""{HEADER}
open (float[N, 6, 4] x) => (float[N, 24] y)
<int64[1] rest = {{24}}, int64[1] zero = {{0}}, int64[1] one = {{1}}> {{
    shape = Shape(x)
    batch = Slice(shape, zero, one)
    wanted = Concat<axis = 0>(batch, rest)
    a = Reshape(x, wanted)
    y = Exp(a)
}}
"""
FOREIGN = f"""{HEADER}
foreign (float[2, 4] x) => (float[2, 4] y) {{
    a = Exp(x)
    b = com.microsoft.Gelu(a)
    c = Exp(b)
    y = Exp(c)
}}
"""

# Gelu is an operator of opset 20 and later.
TOO_NEW = f"""{HEADER}
early (float[2, 4] x) => (float[2, 4] y) {{
    a = Gelu(x)
    b = Exp(a)
    y = Exp(b)
}}
"""


def shapes(model: ir.Model) -> dict[str | None, str]:
    return {value.name: f"{value.dtype} {value.shape}" for node in model.graph for value in node.outputs}


@pytest.mark.parametrize("text", [STATIC, OPEN, FOREIGN, TOO_NEW])
def test_shapes_are_those_that_onnx_infers(text: str) -> None:
    model, whole = ir.from_onnx_text(text), ir.from_onnx_text(text)
    infer_shapes(model)
    passes.ShapeInferencePass()(whole)
    assert shapes(model) == shapes(whole)


def test_sizes_that_are_numbers_need_no_look_at_the_whole_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "ShapeInferencePass", None)
    model = ir.from_onnx_text(STATIC)
    infer_shapes(model)
    assert shapes(model)["d"] == "FLOAT [2,12,2]"


def test_known_shapes_are_left_as_they_are() -> None:
    model = ir.from_onnx_text(STATIC)
    (reshaped,) = model.graph[0].outputs
    reshaped.shape, reshaped.dtype = ir.Shape(["A", 12, 2]), ir.DataType.FLOAT
    infer_shapes(model)
    assert shapes(model)["b"] == "FLOAT [A,6,2]"
