"""Shapes and types of new values, inferred from those of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

if TYPE_CHECKING:
    from onnx import TensorProto, TypeProto

CONSTANTS = 64
"""Elements of a constant that shapes may follow from: a Reshape's, a Slice's."""


def infer_shapes(model: ir.Model) -> None:
    """Give every value a shape and a type, in place.

    Node by node where that suffices, which looks at new nodes alone. Where a shape follows from the numbers
    that other nodes compute, as those of an open batch do, ONNX infers it over the graph as a whole.
    """
    new = [node for node in model.graph.all_nodes() if not all(map(_is_known, node.outputs))]
    if not all(_infer(node, model) for node in new):
        passes.ShapeInferencePass()(model)


def _is_known(value: ir.Value) -> bool:
    if value.shape is None or value.dtype is None:
        return False
    return all(isinstance(size, int) or size.value is not None for size in value.shape)


def _infer(node: ir.Node, model: ir.Model) -> bool:
    """Infer shapes and types of a node's outputs; return whether that worked."""
    inputs = [value for value in node.inputs if value is not None]
    if not all(map(_is_known, inputs)) or node.domain not in model.opset_imports:
        return False
    try:
        schema = onnx.defs.get_schema(node.op_type, model.opset_imports[node.domain], node.domain)
        found = onnx.shape_inference.infer_node_outputs(
            schema,
            ir.serde.serialize_node(node),
            {str(value.name): _type_of(value) for value in inputs},
            {str(value.name): tensor for value in inputs if (tensor := _small_constant(value))},
            ir_version=onnx.IR_VERSION,
        )
    except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError):
        return False
    for output in node.outputs:
        if output.name in found:
            output.type = ir.serde.deserialize_type_proto_for_type(found[output.name])
            output.shape = ir.serde.deserialize_type_proto_for_shape(found[output.name])
    return all(map(_is_known, node.outputs))


def _type_of(value: ir.Value) -> TypeProto:
    return ir.serde.serialize_value(value).type


def _small_constant(value: ir.Value) -> TensorProto | None:
    tensor = value.const_value
    return ir.serde.serialize_tensor(tensor) if tensor is not None and tensor.size <= CONSTANTS else None
