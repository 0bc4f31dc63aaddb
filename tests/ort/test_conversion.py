"""Models in ORT format: the compiled graph, node for node, and each weight once."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from ort_examples import FLOATS, model

from onnx_demucs_compiler import CompiledModel, CompilerError, compile
from onnx_demucs_compiler.artifact.compiled import serialized
from onnx_demucs_compiler.ort import as_ort_format, ort_format
from onnx_demucs_compiler.ort.kernels import resolved
from onnx_demucs_compiler.ort.tools import fbs
from onnx_demucs_rules.examples import small_htdemucs


@pytest.fixture(scope="module")
def compiled() -> CompiledModel:
    return compile(small_htdemucs(depth=1), verify=False)


@pytest.fixture(scope="module")
def converted(compiled: CompiledModel) -> bytes:
    return ort_format(serialized(compiled.model))


def run(content: bytes) -> np.ndarray:
    """What comes of noise, without further optimisation."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(content, options)
    [port] = session.get_inputs()
    noise = np.random.default_rng(0).normal(0, 0.1, port.shape).astype(np.float32)
    result: np.ndarray = session.run(None, {port.name: noise})[0]
    return result


def test_it_computes_the_same_to_the_last_bit(compiled: CompiledModel, converted: bytes) -> None:
    stems = run(serialized(compiled.model))
    assert np.abs(stems).max() > 0
    np.testing.assert_array_equal(run(converted), stems)


def test_nodes_and_weights_are_those_of_the_graph(compiled: CompiledModel, converted: bytes) -> None:
    graph = fbs.InferenceSession.InferenceSession.GetRootAs(bytearray(converted), 0).Model().Graph()
    assert graph.NodesLength() == len(compiled.model.graph.node)
    names = {graph.Initializers(i).Name().decode() for i in range(graph.InitializersLength())}
    assert names == {item.name for item in compiled.model.graph.initializer}


def test_a_portable_model_needs_no_other_domain(compiled: CompiledModel, converted: bytes) -> None:
    assert {domain for domain, _, _ in resolved([converted]).operators} == {"ai.onnx"}
    extended = resolved([ort_format(serialized(compiled.model), "extended")])
    assert "com.microsoft" in {domain for domain, _, _ in extended.operators}


def test_metadata_travels_along(compiled: CompiledModel, converted: bytes) -> None:
    found = onnxruntime.InferenceSession(converted).get_modelmeta().custom_metadata_map
    assert found == {item.key: item.value for item in compiled.model.metadata_props}


def test_a_file_of_either_kind(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(model(FLOATS))
    converted = as_ort_format(tmp_path / "a.onnx")
    (tmp_path / "b.bin").write_bytes(converted)
    assert as_ort_format(tmp_path / "b.bin") == converted


@pytest.mark.parametrize("content", [b"", b"not a model" * 9, b"\x14\0\0\0ORTM" + bytes(90), None])
def test_what_is_neither(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "bad.ort"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        CompilerError, match=r"bad\.ort: (no such file|onnxruntime cannot load it as a model)"
    ):
        as_ort_format(path)


def test_a_file_cut_short(converted: bytes, tmp_path: Path) -> None:
    (tmp_path / "cut.ort").write_bytes(converted[: len(converted) // 2])
    with pytest.raises(CompilerError, match=r"cut\.ort: onnxruntime cannot load it as a model"):
        as_ort_format(tmp_path / "cut.ort")


def test_what_onnxruntime_has_no_kernel_for() -> None:
    unknown = onnx.load_from_string(model(FLOATS))
    unknown.graph.node[0].op_type = "Acme"
    with pytest.raises(CompilerError, match="Acme"):
        ort_format(unknown.SerializeToString())
