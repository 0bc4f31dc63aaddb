"""Models without the numbers of their weights: the bytes, the checks and surgery are those of whole ones."""

import hashlib

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnx_demucs_compiler.artifact.digest import digest
from onnx_demucs_compiler.artifact.hollow import HollowModel
from onnx_demucs_compiler.checking.target_runtimes import sessions
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.graph.apart import LARGE_BYTES, weights_apart
from onnx_demucs_compiler.stages.finish import finish
from onnx_demucs_compiler.stages.surgery import surgeon
from onnx_demucs_compiler.targets import target_named

LARGE = np.arange(LARGE_BYTES // 4, dtype=np.float32).reshape(4, -1)
SMALL = np.array([1, LARGE.size], dtype=np.int64)


def whole() -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "large"], ["product"], "multiply"),
            helper.make_node("Reshape", ["large", "small"], ["row"], "flatten"),
        ],
        "both",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [
            helper.make_tensor_value_info("product", TensorProto.FLOAT, [1, LARGE.shape[1]]),
            helper.make_tensor_value_info("row", TensorProto.FLOAT, SMALL.tolist()),
        ],
        [numpy_helper.from_array(LARGE, "large"), numpy_helper.from_array(SMALL, "small")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {"key": "value"})
    return model


def hollow() -> HollowModel:
    model = whole()
    model.graph.initializer[0].ClearField("raw_data")
    return HollowModel(model, {"large": LARGE})


def test_the_bytes_are_those_of_the_whole_model() -> None:
    wanted = whole().SerializeToString(deterministic=True)
    assert HollowModel(whole(), {}).serialized() == wanted
    assert hollow().serialized() == wanted


def test_the_places_are_where_the_bytes_have_the_numbers() -> None:
    [(name, (offset, size))] = hollow().places().items()
    assert name == "large"
    assert hollow().serialized()[offset : offset + size] == LARGE.tobytes()


def test_a_session_maps_the_weights_of_the_file_itself() -> None:
    model, numbers = hollow(), bytearray(hollow().serialized())
    [(offset, size)] = model.places().values()
    numbers[offset : offset + size] = (LARGE * 2).tobytes()
    [(_, session)] = sessions(target_named("portable"), bytes(numbers), model.proto, model.places())
    x = np.array([[1, 0, 0, 1]], np.float32)
    product, row = session.run(None, {"x": x})
    np.testing.assert_array_equal(product, x @ LARGE * 2)
    np.testing.assert_array_equal(row, 2 * LARGE.reshape(1, -1))


@pytest.mark.parametrize("size", [0, 1, 31, 32, 2**12, 2**20])
def test_lengths_are_written_as_protobuf_writes_them(size: int) -> None:
    model = whole()
    numbers = np.ones(size, np.float32)
    tensor = model.graph.initializer[0]
    tensor.CopyFrom(numpy_helper.from_array(numbers, "large"))
    tensor.doc_string = "behind the numbers"
    wanted = model.SerializeToString(deterministic=True)
    tensor.raw_data = b""
    assert HollowModel(model, {"large": numbers}).serialized() == wanted


def test_numbers_that_are_not_raw_stay_where_they_are() -> None:
    model = whole()
    model.graph.initializer.append(helper.make_tensor("written out", TensorProto.FLOAT, [2], [1.0, 2.0]))
    wanted = model.SerializeToString(deterministic=True)
    assert HollowModel(model, {}).serialized() == wanted


def test_the_digest_is_that_of_the_whole_model_and_leaves_it_as_it_was() -> None:
    bare = whole()
    del bare.metadata_props[:]
    wanted = hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()
    model = whole()
    model.graph.initializer[0].data_location = TensorProto.DEFAULT
    before = model.SerializeToString(deterministic=True)
    assert digest(model) == digest(*hollow()) == wanted
    assert model.SerializeToString(deterministic=True) == before


def test_finishing_leaves_large_numbers_where_they_are() -> None:
    model = ir.from_proto(whole())
    held = model.graph.initializers["large"].const_value
    proto, weights = finish(model, "both")
    assert [len(tensor.raw_data) > 0 for tensor in proto.graph.initializer] == [False, True]
    assert not any(tensor.external_data or tensor.data_location for tensor in proto.graph.initializer)
    assert weights["large"] is held is model.graph.initializers["large"].const_value
    finished = onnx.load_model_from_string(HollowModel(proto, weights).serialized())
    np.testing.assert_array_equal(numpy_helper.to_array(finished.graph.initializer[0]), LARGE)


def test_a_graph_that_is_wrong_about_a_large_weight_is_found() -> None:
    model = ir.from_proto(whole())
    model.graph.outputs[0].shape = ir.Shape([1, 7])
    with pytest.raises(CompilerError, match="not valid ONNX"):
        finish(model, "both")


def test_surgery_copies_no_weight_and_may_read_and_replace_them() -> None:
    model = ir.from_proto(whole())
    before, held = model.graph, model.graph.initializers["large"].const_value
    with surgeon(model) as edited:
        edited.nodes[0].inputs[1].name = "renamed"
    assert before.initializers["large"].const_value is held
    assert model.graph.initializers["renamed"].const_value is held
    with surgeon(model) as edited:
        constant = edited.nodes[0].inputs[1]
        constant.values = constant.values * 2
    found = model.graph.initializers["renamed"].const_value
    assert found is not None
    np.testing.assert_array_equal(found.numpy(), LARGE * 2)


def test_weights_are_put_back_after_an_error() -> None:
    model = ir.from_proto(whole())
    held = model.graph.initializers["large"].const_value
    with pytest.raises(ZeroDivisionError), weights_apart(model):
        raise ZeroDivisionError
    assert model.graph.initializers["large"].const_value is held


def test_a_digest_leaves_metadata_alone() -> None:
    model = whole()
    [item] = model.metadata_props
    item.value = digest(model)
    assert model.metadata_props[0].value == digest(model)
