"""An artifact in ORT format, by ONNX Runtime's own reader."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.contracts.artifact import AI_ONNX, Artifact, Node, Value, type_name
from onnx_demucs_compiler.ort.tools import fbs, items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.contracts.artifact import Shape


def read_ort(data: bytes) -> Artifact:
    """The declarations of an ``.ort`` file's content.

    Raises:
        Exception: of any kind, if it is damaged.
    """
    try:
        model = fbs.InferenceSession.InferenceSession.GetRootAs(data, 0).Model()
        opsets = {_text(item.Domain()) or AI_ONNX: item.Version() for item in items(model, "OpsetImport")}
        graphs = list(_graphs(model.Graph()))
        tensors = [item for graph in graphs for item in items(graph, "Initializers")]
        weights = {
            _text(item.Name()): Value(
                type_name(item.DataType()), _sizes(item), "?" if item.ExternalDataOffset() >= 0 else ""
            )
            for item in tensors
        }
        values = {_text(item.Name()): _value(item) for graph in graphs for item in items(graph, "NodeArgs")}
        inputs, outputs = (
            [_text(name) for name in items(model.Graph(), kind)] for kind in ("Inputs", "Outputs")
        )
        return Artifact(
            format="ort",
            bytes=len(data),
            ir_version=model.IrVersion(),
            producer=f"{_text(model.ProducerName())} {_text(model.ProducerVersion())}".strip() or "unnamed",
            opsets=opsets,
            nodes=tuple(_node(node) for graph in graphs for node in items(graph, "Nodes")),
            inputs={name: values[name] for name in inputs if name not in weights},
            outputs={name: values[name] for name in outputs},
            weights=weights,
            values={name: value for name, value in values.items() if name not in weights},
            metadata={_text(item.Key()): _text(item.Value()) for item in items(model, "MetadataProps")},
        )
    except struct.error as error:
        raise ValueError("offsets that lead nowhere") from error


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in items(graph, "Nodes"):
        for attribute in items(node, "Attributes"):
            for inner in (*items(attribute, "Graphs"), *([attribute.G()] if attribute.G() else [])):
                yield from _graphs(inner)


def _node(node: Any) -> Node:
    op = _text(node.OpType())
    outputs = tuple(_text(name) for name in items(node, "Outputs"))
    return Node(
        name=_text(node.Name()) or f"{op} {next(iter(outputs), '')}".strip(),
        op=op,
        domain=_text(node.Domain()) or AI_ONNX,
        version=node.SinceVersion(),
        inputs=tuple(_text(name) for name in items(node, "Inputs")),
        outputs=outputs,
    )


def _value(item: Any) -> Value:
    info = item.Type()
    if info is None or info.ValueType() != fbs.TypeInfoValue.TypeInfoValue.tensor_type:
        return Value("undefined" if info is None else "no tensor")
    tensor = fbs.TensorTypeAndShape.TensorTypeAndShape()
    tensor.Init(info.Value().Bytes, info.Value().Pos)
    if tensor.Shape() is None:
        return Value(type_name(tensor.ElemType()))
    sizes = [size.Value() for size in items(tensor.Shape(), "Dim")]
    shape = tuple(size.DimValue() if size.DimType() == 1 else _text(size.DimParam()) or "?" for size in sizes)
    return Value(type_name(tensor.ElemType()), shape)


def _sizes(tensor: Any) -> Shape:
    return tuple(int(size) for size in items(tensor, "Dims"))


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8")
