"""Contracts of engines: forms of operators, and what real engines made of a probe for each."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from contract_models import FLOAT, model_of, node, save, save_as_ort
from onnx import helper, numpy_helper
from probed_forms import PROBES, forms_in, unprobed

from onnx_demucs_compiler.contracts import lint
from onnx_demucs_compiler.contracts.engine import REMEDIES, RIGHT, TOOLS, UNPROBED, is_of, table
from onnx_demucs_compiler.contracts.forms import OPEN
from onnx_demucs_compiler.engines import ENGINES

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures").glob("*/artifacts/*.onnx"))
SHAPE = (1, 2, 8)


def graph(*nodes: onnx.NodeProto, **numbers: object) -> onnx.ModelProto:
    """From ``a`` to ``b``, with constants by name."""
    model = model_of(*nodes, shape=SHAPE)
    for name, value in numbers.items():
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    return model


WIDTHS = [0, 0, 0, 0, 0, 0]
FILL = (
    node("ConstantOfShape", ["size"], ["zeros"]),
    helper.make_node("Add", ["a", "zeros"], ["b"], name="the Add"),
)


@pytest.mark.parametrize(
    ("model", "form"),
    [
        (graph(node("Relu")), "Relu"),
        (graph(node("Add", ["a", "a"])), "Add"),
        (graph(node("Add", ["half", "a"]), half=np.float32(0.5)), "Add: constant left, one number"),
        (graph(node("Mul", ["a", "row"]), row=np.ones(8, np.float32)), "Mul: constant right, broadcast"),
        (graph(node("Pad", ["a", "widths"], mode="reflect"), widths=WIDTHS), "Pad: reflect"),
        (graph(node("Pad", ["a", "widths", "zero"], mode="reflect"), widths=WIDTHS, zero=np.float32(0)),
         "Pad: reflect, with a value"),
        (graph(node("Reshape", ["a", "sizes"]), sizes=[0, -1, 8]),
         "Reshape: 0 in the shape, -1 in the shape"),
        (graph(node("Reshape", ["a", "sizes"], allowzero=1), sizes=[1, 2, 8]), "Reshape"),
        (graph(node("Slice", ["a", "first", "last", "axis", "step"]),
               first=[7], last=[-9], axis=[2], step=[-1]), "Slice: backwards"),
        (graph(node("MatMul", ["square", "a"]), square=np.eye(2, dtype=np.float32)),
         "MatMul: constant left, one matrix for all"),
        (graph(*FILL, size=list(SHAPE)), "ConstantOfShape: no value"),
        (graph(node("Softmax", axis=-1)), "Softmax: last axis"),
        (graph(node("ReduceMean", ["a", "axes"], keepdims=1), axes=[-1]), "ReduceMean: last axes"),
        (graph(node("Transpose", perm=[0, 2, 1])), "Transpose: 0 2 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_forms(model: onnx.ModelProto, form: str) -> None:
    assert form in forms_in(model)


def test_whole_numbers_and_open_sizes_have_no_form() -> None:
    assert forms_in(model_of(node("Abs"), kind=onnx.TensorProto.INT64)) == set()
    assert forms_in(model_of(shape=("batch", 8))) == {OPEN}


@pytest.mark.parametrize("form", PROBES)
def test_a_probe_is_of_its_form(form: str) -> None:
    graph = onnx.parser.parse_graph(f"probe {PROBES[form]}")
    made = {name for node in graph.node for name in node.output}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    for value in (value for value in graph.value_info if value.name not in made):
        tensor = value.type.tensor_type
        zeros = np.zeros([size.dim_value for size in tensor.shape.dim])
        kind = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        model.graph.initializer.append(numpy_helper.from_array(zeros.astype(kind), value.name))
    assert form in forms_in(onnx.shape_inference.infer_shapes(model, data_prop=True))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_probe_has_a_verdict(engine: str) -> None:
    version, verdicts = table(engine)
    advice = f"run benchmarks/engines/probe.py {engine}"
    assert verdicts.keys() - UNPROBED == PROBES.keys(), advice
    assert ENGINES[engine].requirements[0].endswith(f"=={version}"), advice


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_what_the_compiler_writes_has_probes(path: Path) -> None:
    assert unprobed(onnx.load(path)) == set(), "run benchmarks/engines/probes.py with this file"


@pytest.mark.parametrize("tool", TOOLS)
def test_every_probe_has_a_verdict_of_tools(tool: str) -> None:
    assert table(tool)[1].keys() == PROBES.keys(), f"run benchmarks/engines/probe.py {tool}"


@pytest.mark.parametrize("remedied", REMEDIES)
def test_a_remedy_is_for_what_a_program_mistakes(remedied: str) -> None:
    seen = [verdict for name in (*ENGINES, *TOOLS) for form, verdict in table(name)[1].items()
            if is_of(form, remedied)]  # fmt: skip
    assert set(seen) - {RIGHT}


MISTAKEN = [
    (graph(*FILL, size=list(SHAPE)),
     "ConstantOfShape: no value is refused by tract 0.23.9, is refused by opencv "),
    (graph(node("Pad", ["a", "widths", "zero"], mode="reflect"), widths=WIDTHS, zero=np.float32(0)),
     "Pad: reflect, with a value is wrong (10.9 dB) in tract 0.23.9, is refused by iree "),
    (graph(node("Pad", ["a", "widths"], mode="reflect"), widths=WIDTHS), "Pad: reflect is refused by iree "),
    (graph(node("Reshape", ["a", "sizes"]), sizes=[0, -1, 8]),
     "Reshape: 0 in the shape, -1 in the shape is wrong in onnxoptimizer 0.4.2; write the sizes"),
    (graph(node("MatMul", ["left", "right"], ["table"]), node("Add", ["a", "table"]),
           left=np.ones((1, 2, 1, 8, 4), np.float32), right=np.ones((1, 4, 8), np.float32)),
     "MatMul: constants, right batches broadcast, 5 axes is wrong (-1.2 dB) in opencv "),
    (graph(node("Unsqueeze", ["a", "axes"], ["c"]), node("MatMul", ["c", "table"], ["d"]),
           helper.make_node("ReduceSum", ["d", "axes"], ["b"], keepdims=0),
           axes=[2], table=np.ones((1, 8, 8), np.float32)),
     "MatMul: constant right, right batches broadcast is wrong (-0.4 dB) in opencv "),
    (graph(node("Reshape", ["a", "flat"], ["c"]), node("InstanceNormalization", ["c", "one", "one"], ["d"]),
           helper.make_node("Reshape", ["d", "back"], ["b"]),
           flat=[1, 1, 16], back=list(SHAPE), one=np.ones(1, np.float32)),
     "InstanceNormalization: one channel is refused by opencv "),
]  # fmt: skip


@pytest.mark.parametrize(("model", "told"), MISTAKEN, ids=[told.split(" is ")[0] for _, told in MISTAKEN])
def test_portable_has_no_form_that_a_program_mistakes(
    model: onnx.ModelProto, told: str, tmp_path: Path
) -> None:
    found = lint(save(model, tmp_path / "x.onnx"), ["portable"])["portable"]
    [line] = [str(finding) for finding in found if finding.breaks]
    assert line.startswith(told)


def test_open_sizes_hide_no_form_that_is_mistaken_at_any(tmp_path: Path) -> None:
    model = model_of(helper.make_node("Shape", ["a"], ["size"]), *FILL, shape=("batch", 2, 8))
    [line] = [str(finding) for finding in lint(save(model, tmp_path / "x.onnx"), ["portable"])["portable"]]
    assert line.startswith("ConstantOfShape: no value, computed shape is refused by tract 0.23.9")


def test_what_has_no_remedy_is_noted(tmp_path: Path) -> None:
    stored = {"weights": np.ones(8, np.int8), "scale": np.float32(0.5), "zero": np.int8(0)}
    model = graph(
        node("DequantizeLinear", ["weights", "scale", "zero"], ["row"]), node("Add", ["a", "row"]), **stored
    )
    [finding] = lint(save(model, tmp_path / "x.onnx"), ["portable"])["portable"]
    assert not finding.breaks
    assert str(finding).startswith("DequantizeLinear: int8 is wrong (-287.2 dB) in mnn ")


def test_a_form_that_an_engine_mistakes(tmp_path: Path) -> None:
    padded = graph(node("Pad", ["a", "widths", "zero"], mode="reflect"), widths=WIDTHS, zero=np.float32(0))
    found = lint(save(padded, tmp_path / "x.onnx"), ["tract", "opencv"])
    [finding] = found["tract"]
    assert finding.breaks
    assert str(finding).startswith("Pad: reflect, with a value is wrong (")
    assert str(finding).endswith("in tract 0.23.9; leave out the third input, which only mode constant reads "
                                 "(1: the Pad)")  # fmt: skip
    assert found["opencv"] == ()


def test_a_form_that_an_engine_refuses(tmp_path: Path) -> None:
    path = save(graph(*FILL, size=list(SHAPE)), tmp_path / "x.onnx")
    for engine in ("tract", "opencv"):
        [finding] = lint(path, [engine])[engine]
        assert "ConstantOfShape: no value is refused by" in str(finding)
        assert "write the value" in str(finding)
    assert lint(path, ["openvino"]) == {"openvino": ()}


def test_a_form_that_nobody_asked_about(tmp_path: Path) -> None:
    path = save(model_of(node("Tan")), tmp_path / "x.onnx")
    [finding] = lint(path, ["mnn"])["mnn"]
    assert not finding.breaks
    assert "verify --engine mnn (1: the Tan)" in str(finding)


def test_operators_of_onnxruntime(tmp_path: Path) -> None:
    path = save(model_of(node("FastGelu", domain="com.microsoft"), com_microsoft=1), tmp_path / "x.onnx")
    for engine in ENGINES:
        [finding] = lint(path, [engine])[engine]
        assert finding.breaks
        assert str(finding).startswith("com.microsoft.FastGelu is of ONNX Runtime alone")


def test_engines_read_onnx(tmp_path: Path) -> None:
    ort = save_as_ort(save(model_of(), tmp_path / "x.onnx"), tmp_path / "x.ort")
    [finding] = lint(ort, ["tract"])["tract"]
    assert "tract 0.23.9 reads ONNX, and this is ORT format" in str(finding)


def test_what_shared_weights_cost(tmp_path: Path) -> None:
    products = [helper.make_node("MatMul", [name, "square"], [out]) for name, out in ("ac", "cb")]
    model = graph(*products, square=np.zeros((512, 1024), np.float32))
    path = save(model, tmp_path / "x.onnx")
    [finding] = [finding for finding in lint(path, ["mnn"])["mnn"] if "stores weights" in str(finding)]
    assert str(finding) == "MNN stores weights once for each node: 2 MB more than here (1: square)"
    assert not finding.breaks


def test_loops_say_what_they_read() -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "outer"], ["t"]), helper.make_node("Identity", ["e"], ["u"])],
        "body",
        [helper.make_tensor_value_info(name, FLOAT, (2, 8)) for name in "se"],
        [helper.make_tensor_value_info(name, FLOAT, (2, 8)) for name in "tu"],
    )
    scan = helper.make_node("Scan", ["first", "a"], ["last", "b"], body=body, num_scan_inputs=1)
    states = {"first": np.zeros((2, 8), np.float32)}
    computed = helper.make_node("Abs", ["first"], ["outer"])
    assert "Scan" in forms_in(graph(computed, scan, **states))  # folded: it depends on no input
    computed = helper.make_node("ReduceMean", ["a"], ["outer"], keepdims=0)
    assert "Scan: computed outer values" in forms_in(graph(computed, scan, **states))
