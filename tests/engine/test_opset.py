"""A compiled graph in another opset gives the same numbers."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from onnx_demucs_compiler import CompilerError
from onnx_demucs_compiler.stages.opset import SUPPORTED, ir_version_for, oldest_onnxruntime, restate_in_opset


def run(proto, feeds):
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


@pytest.fixture(scope="module")
def mix():
    return {"mix": np.random.default_rng(0).standard_normal((1, 2, 4096)).astype("f4")}


@pytest.mark.parametrize("opset", SUPPORTED)
def test_compiled_graph(compiled, mix, opset):
    model = ir.from_proto(onnx.shape_inference.infer_shapes(compiled.model, data_prop=True))
    restate_in_opset(model, opset)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.ir_version == ir_version_for(opset)
    np.testing.assert_array_equal(run(proto, mix)[0], run(compiled.model, mix)[0])


def parsed(body, inputs="float[2,5] x"):
    text = f'<ir_version: 8, opset_import: ["" : 18]> g ({inputs}) => (float[?,?] y) {{ {body} }}'
    return onnx.parser.parse_model(text)


@pytest.mark.parametrize(
    "body",
    [
        *(
            f"a = Constant <value_ints = [1]> () y = {op} (x, a)"
            for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceProd")
        ),
        "y = ReduceMean (x)",
        "y, z = Split <axis = 1, num_outputs = 2> (x)",
        "p = Constant <value_ints = [1, 2]> () a = Constant <value_ints = [-1]> () y = Pad (x, p, , a)",
        """m = ReduceMean (x) c = Constant <value_ints = [9]> () k = Greater (c, c) y = If (k) <
            then_branch = t () => (float[?,?] u) { u, w = Split <axis = 1, num_outputs = 2> (x) },
            else_branch = e () => (float[?,?] v) { v, q = Split <axis = 1, num_outputs = 2> (x) }>""",
    ],
)
def test_lowered(body):
    before = parsed(body)
    model = ir.from_proto(before)
    restate_in_opset(model, 17)
    after = ir.to_proto(model)
    onnx.checker.check_model(after, full_check=True)
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 5)).astype("f4")}
    np.testing.assert_array_equal(run(after, feeds)[0], run(before, feeds)[0])


@pytest.mark.parametrize(
    ("body", "inputs", "opset", "name"),
    [
        ("y = Mish (x)", "float[2,5] x", 17, "Mish"),
        ("y = ReduceMean (x, a)", "float[2,5] x, int64[1] a", 17, "ReduceMean"),
        ("y, z = Split <axis = 1, num_outputs = 2> (x)", "float[2,n] x", 17, "Split"),
        ("y = DFT (x)", "float[1,5,1] x", 20, "DFT"),
    ],
)
def test_refused(body, inputs, opset, name):
    with pytest.raises(CompilerError, match=name):
        restate_in_opset(ir.from_proto(parsed(body, inputs)), opset)


def test_unknown_opset():
    with pytest.raises(CompilerError, match="opset 16"):
        restate_in_opset(ir.from_proto(parsed("y = Abs (x)")), 16)


def test_versions():
    assert [ir_version_for(opset) for opset in (17, 18, 19, 20, 21)] == [8, 8, 9, 9, 10]
    assert oldest_onnxruntime(17) == "1.12"
    assert oldest_onnxruntime(26) is None
