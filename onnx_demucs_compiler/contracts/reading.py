"""Reading what a file declares, in ONNX or in ORT format."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from onnx_demucs_compiler.contracts.artifact import AI_ONNX, Artifact, Node, Value, type_name
from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

FEW = 64


def read_artifact(path: Path) -> Artifact:
    """Read a file's declarations, without external weights.

    Raises:
        CompilerError: there is no such file, or it is neither ONNX nor ORT format.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    data = path.read_bytes()
    try:
        is_ort = data[4:8] == b"ORTM"
        artifact = _ort(data) if is_ort else described(onnx.load_model_from_string(data), len(data))
    except Exception as error:  # neither protobuf's errors nor those of a flat buffer share a narrower base
        raise CompilerError(f"{path} is not a model in ONNX or ORT format, or is damaged") from error
    if not (artifact.nodes or artifact.outputs):
        raise CompilerError(f"{path} is not a model in ONNX or ORT format: it holds no graph")
    return artifact


def _ort(data: bytes) -> Artifact:
    # ONNX Runtime's reader imports torch where it is installed.
    from onnx_demucs_compiler.contracts.ort_file import read_ort

    return read_ort(data)


def described(model: onnx.ModelProto, size: int) -> Artifact:
    """The declarations of a model that is ``size`` bytes as a file.

    Shapes are inferred where it has none.
    """
    if not model.graph.value_info:
        with suppress(onnx.shape_inference.InferenceError, ValueError):  # wrong, or too large to be copied
            model = onnx.shape_inference.infer_shapes(model)
    opsets = {item.domain or AI_ONNX: item.version for item in model.opset_import}
    graphs = list(_graphs(model.graph))
    weights = {item.name: _weight(item) for graph in graphs for item in graph.initializer}
    return Artifact(
        format="onnx",
        bytes=size,
        ir_version=model.ir_version,
        producer=f"{model.producer_name} {model.producer_version}".strip() or "unnamed",
        opsets=opsets,
        nodes=tuple(_node(node, opsets) for graph in graphs for node in graph.node),
        inputs=_values_of(item for item in model.graph.input if item.name not in weights),
        outputs=_values_of(model.graph.output),
        weights=weights,
        values=_values_of(item for graph in graphs for item in graph.value_info),
        metadata={item.key: item.value for item in model.metadata_props},
        numbers=dict(_numbers(graphs)),
    )


def _numbers(graphs: Iterable[onnx.GraphProto]) -> Iterator[tuple[str, tuple[int, ...]]]:
    for graph in graphs:
        stored = {item.name: item for item in graph.initializer}
        stored |= {node.output[0]: _attributes(node).get("value") for node in graph.node
                   if node.op_type == "Constant"}  # fmt: skip
        for name, tensor in stored.items():
            few = isinstance(tensor, TensorProto) and math.prod(tensor.dims) <= FEW
            if few and tensor.data_type == TensorProto.INT64 and not tensor.external_data:
                yield name, tuple(numpy_helper.to_array(tensor).ravel().tolist())


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    kinds = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    return {item.name: helper.get_attribute_value(item) for item in node.attribute if item.type not in kinds}


def _captured(node: onnx.NodeProto) -> tuple[str, ...]:
    """The values that graphs inside a node read from outside."""
    inside = [graph for item in node.attribute for graph in (*item.graphs, item.g) if graph.node]
    read: dict[str, None] = {}
    for graph in inside:
        known = {item.name for item in (*graph.input, *graph.initializer)}
        for inner in graph.node:
            names = (*inner.input, *_captured(inner))
            read |= dict.fromkeys(name for name in names if name and name not in known)
            known |= set(inner.output)
    return tuple(read)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _graphs(inner)


def _node(node: onnx.NodeProto, opsets: Mapping[str, int]) -> Node:
    domain = node.domain or AI_ONNX
    opset = opsets.get(domain, 1)
    version, function = opset, False
    if onnx.defs.has(node.op_type, node.domain) and domain in (AI_ONNX, "ai.onnx.ml"):
        try:
            schema: Any = onnx.defs.get_schema(node.op_type, opset, node.domain)
            version = schema.since_version
            function = schema.has_function or schema.has_context_dependent_function
        except onnx.defs.SchemaError:  # not in so early an opset
            pass
    name = node.name or f"{node.op_type} {next(iter(node.output), '')}".strip()
    return Node(
        name,
        node.op_type,
        domain,
        version,
        tuple(node.input),
        tuple(node.output),
        function,
        _attributes(node),
        _captured(node),
    )


def _weight(tensor: onnx.TensorProto) -> Value:
    where = {item.key: item.value for item in tensor.external_data}.get("location", "?")
    external = tensor.data_location == TensorProto.EXTERNAL
    return Value(type_name(tensor.data_type), tuple(tensor.dims), where if external else "")


def _values_of(items: Iterable[onnx.ValueInfoProto]) -> dict[str, Value]:
    return {item.name: _value(item) for item in items}


def _value(item: onnx.ValueInfoProto) -> Value:
    kind = item.type.WhichOneof("value")
    if kind != "tensor_type":
        return Value((kind or "undefined").removesuffix("_type"))
    tensor = item.type.tensor_type
    if not tensor.HasField("shape"):
        return Value(type_name(tensor.elem_type))
    sizes = [
        size.dim_value if size.HasField("dim_value") else size.dim_param or "?" for size in tensor.shape.dim
    ]
    return Value(type_name(tensor.elem_type), tuple(sizes))
