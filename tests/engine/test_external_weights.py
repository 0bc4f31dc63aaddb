"""A model in two files: the graph, and its weights."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from engine_examples import shallow_htdemucs
from onnx import helper, numpy_helper

from onnx_demucs_compiler import CompiledModel, compile
from onnx_demucs_compiler.artifact.digest import digest
from onnx_demucs_compiler.artifact.external import PAGE, split, weights_path
from onnx_demucs_compiler.artifact.reading import load_artifact

NAME = "x.onnx.data"


def model_with(**arrays: np.ndarray) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    return helper.make_model(helper.make_graph([], "g", [], [], tensors))


def ramp(start: int, size: int = PAGE // 4) -> np.ndarray:
    return np.arange(start, start + size, dtype=np.float32)


def places(graph: onnx.ModelProto) -> dict[str, dict[str, str]]:
    return {tensor.name: {item.key: item.value for item in tensor.external_data}
            for tensor in graph.graph.initializer if tensor.external_data}  # fmt: skip


@pytest.fixture(scope="module")
def compiled() -> CompiledModel:
    return compile(shallow_htdemucs(), verify=False)


def test_what_is_large_lies_apart() -> None:
    model = model_with(large=ramp(0), larger=ramp(1, PAGE), small=ramp(2, PAGE // 4 - 1))
    graph, data = split(model, NAME)
    found = places(graph)
    assert found.keys() == {"large", "larger"}
    for name, array in (("large", ramp(0)), ("larger", ramp(1, PAGE))):
        offset, length = int(found[name]["offset"]), int(found[name]["length"])
        assert (found[name]["location"], offset % PAGE) == (NAME, 0)
        np.testing.assert_array_equal(np.frombuffer(data[offset : offset + length], np.float32), array)
    assert len(graph.SerializeToString()) < 2 * PAGE
    assert model == model_with(large=ramp(0), larger=ramp(1, PAGE), small=ramp(2, PAGE // 4 - 1))


def test_places_follow_from_the_bytes_alone() -> None:
    _, data = split(model_with(a=ramp(0), b=ramp(1), c=ramp(2)), NAME)
    _, again = split(model_with(z=ramp(2), y=ramp(1), x=ramp(0), small=ramp(3, 4)), NAME)
    assert data == again


def test_equal_bytes_lie_once() -> None:
    graph, data = split(model_with(a=ramp(0), b=ramp(0).reshape(4, -1)), NAME)
    assert len(data) == PAGE
    assert places(graph)["a"] == places(graph)["b"]


def test_another_graph_of_the_same_weights_has_the_same_file(compiled: CompiledModel) -> None:
    other = compile(shallow_htdemucs(), batch=2, verify=False)
    (graph, data), (other_graph, other_data) = split(compiled.model, NAME), split(other.model, NAME)
    assert graph != other_graph
    assert len(data) > 2 * PAGE
    assert data == other_data


def test_saved_and_read_it_is_the_same_model(compiled: CompiledModel, tmp_path: Path) -> None:
    path = compiled.save(tmp_path / "x.onnx", external_data=True)
    assert sorted(tmp_path.iterdir()) == [path, weights_path(path)]
    read = load_artifact(path)
    assert digest(read) == digest(compiled.model) == compiled.metadata.digest
    (tmp_path / "again").mkdir()
    again = compiled.save(tmp_path / "again" / path.name, external_data=True)
    assert again.read_bytes() == path.read_bytes()
    assert weights_path(again).read_bytes() == weights_path(path).read_bytes()
