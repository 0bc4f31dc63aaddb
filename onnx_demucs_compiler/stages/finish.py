"""The final names, independent of where the file was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.artifact.hollow import HollowModel
from onnx_demucs_compiler.errors import CompilerError, first_line
from onnx_demucs_compiler.graph.apart import weights_apart
from onnx_demucs_compiler.graph.measure import initializer_bytes
from onnx_demucs_compiler.rules.rule import RULE_KEY
from onnx_demucs_compiler.stages.opset import ir_version_for

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = onnx.checker.MAXIMUM_PROTOBUF
"""Bytes of a protobuf message."""


def finish(model: ir.Model, name: str) -> HollowModel:
    """Serialise a model whose graph is final, without metadata.

    The metadata of nodes and values goes: the exporter's holds paths of this machine and the model's Python
    source, and IR versions before 10 have no place for it. What rules made keeps their name as the first part
    of the node's name, which profilers show.

    Args:
        model: the graph.
        name: what the graph is called.

    Returns:
        The model without the numbers of its large initializers, and these numbers, which the graph shares.

    Raises:
        CompilerError: the weights do not fit into one file, or ``onnx.checker`` finds fault with the result.
    """
    _refuse_oversized(model, name)
    made_by = {node: node.metadata_props.get(RULE_KEY) for node in model.graph.all_nodes()}
    passes.ClearMetadataAndDocStringPass()(model)
    for value in _values(model):
        value.metadata_props.clear()
    for index, (node, rule) in enumerate(made_by.items()):
        node.name = f"{rule or 'model'}/{node.op_type}_{index}"
    passes.RemoveUnusedOpsetsPass()(model)
    model.graph.name = name
    model.ir_version = ir_version_for(model.opset_imports[""])
    model.producer_name, model.producer_version = "onnx-demucs-compiler", __version__
    model.metadata_props.clear()
    with weights_apart(model) as apart:
        proto = ir.to_proto(model)
    _describe_only_results(proto.graph)
    _check(proto)
    for tensor in proto.graph.initializer:
        if tensor.name in apart:
            tensor.ClearField("data_location")
            tensor.ClearField("external_data")
    return HollowModel(proto, apart)


def _check(proto: onnx.ModelProto) -> None:
    """Hold a model to the standard, its outside weights as inputs.

    Raises:
        CompilerError: ``onnx.checker`` finds fault with it.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    outside = [tensor for tensor in bare.graph.initializer if tensor.external_data]
    inside = [tensor for tensor in bare.graph.initializer if not tensor.external_data]
    for tensor in outside:
        bare.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    del bare.graph.initializer[:]
    bare.graph.initializer.extend(inside)
    try:
        onnx.checker.check_model(bare, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CompilerError(f"the compiled graph is not valid ONNX: {first_line(error)}") from error


def _refuse_oversized(model: ir.Model, name: str) -> None:
    """Refuse more weights than protobuf can hold in one message.

    Raises:
        CompilerError: there are more.
    """
    size = initializer_bytes(model)
    if size >= LARGEST:
        raise CompilerError(
            f"{name} has {size / 2**30:.2f} GiB of weights and constants, and one ONNX file holds at most "
            f"{LARGEST / 2**30:.0f} GiB; halve them by precision fp16-weights, or compile a smaller model"
        )


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.initializers.values()
        yield from graph.inputs
    for node in model.graph.all_nodes():
        yield from node.outputs


def _describe_only_results(graph: onnx.GraphProto) -> None:
    """Initializers say their types and shapes themselves."""
    stored = {item.name for item in graph.initializer}
    described = [item for item in graph.value_info if item.name not in stored]
    del graph.value_info[:]
    graph.value_info.extend(described)
