"""An artefact as contracts see it: what its file declares, in ONNX or in ORT format, and no weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx
from onnx import TensorProto

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    Shape = tuple[int | str, ...]
    """Sizes that stay open are names."""

AI_ONNX = "ai.onnx"
"""The default domain, which files leave empty."""

BYTES = {"float": 4, "double": 8, "float16": 2, "bfloat16": 2, "bool": 1, "int8": 1, "uint8": 1, "int16": 2,
         "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes:
        name: its own, or its operator and first output where it has none.
        op: the operator's name.
        domain: of the operator, ``ai.onnx`` for the default one.
        version: the opset version that the operator is defined in.
        inputs: values, by name.
        outputs: likewise.
        function: whether the operator is defined by others, which stand in where it has no kernel.
    """

    name: str
    op: str
    domain: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: bool = False

    @property
    def operator(self) -> str:
        """As reduced-operator configs write it: ``domain;version;Op``."""
        return f"{self.domain};{self.version};{self.op}"


@dataclass(frozen=True)
class Value:
    """A tensor: its element type, its shape where it is known, and whether its data lies in another file."""

    type: str
    shape: Shape | None = None
    external: bool = False

    @property
    def bytes(self) -> int | None:
        """What it takes; ``None`` where a size stays open."""
        sizes = [size for size in self.shape or () if isinstance(size, int)]
        if self.shape is None or len(sizes) < len(self.shape) or self.type not in BYTES:
            return None
        return math.prod(sizes) * BYTES[self.type]


@dataclass(frozen=True)
class Artefact:
    """What a file declares.

    Attributes:
        format: ``onnx`` or ``ort``.
        bytes: of the file.
        ir_version: of ONNX.
        opsets: version by domain.
        nodes: those of subgraphs too.
        inputs: of the graph, by name.
        outputs: likewise.
        weights: likewise.
        values: everything between, as far as the file tells.
        metadata: ``metadata_props``.
    """

    format: str
    bytes: int
    ir_version: int
    opsets: Mapping[str, int]
    nodes: tuple[Node, ...]
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]
    weights: Mapping[str, Value]
    values: Mapping[str, Value]
    metadata: Mapping[str, str]

    def find(self, name: str) -> Value | None:
        """A value by name, if the file tells of it."""
        for values in (self.values, self.weights, self.inputs, self.outputs):
            if name in values:
                return values[name]
        return None

    def by_operator(self) -> dict[Node, list[Node]]:
        """The nodes of each operator, by the first of them."""
        groups: dict[str, list[Node]] = {}
        for node in self.nodes:
            groups.setdefault(node.operator, []).append(node)
        return {nodes[0]: nodes for nodes in groups.values()}


def read_artefact(path: Path) -> Artefact:
    """Read what a file declares; weights in other files are not looked for.

    Raises:
        CompilerError: there is no such file, or it is neither ONNX nor ORT format.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    data = path.read_bytes()
    try:
        artefact = _ort(data) if data[4:8] == b"ORTM" else _onnx(data)
    except Exception as error:  # neither protobuf's errors nor those of a flat buffer share a narrower base
        raise CompilerError(f"{path} is not a model in ONNX or ORT format, or is damaged") from error
    if not (artefact.nodes or artefact.outputs):
        raise CompilerError(f"{path} is not a model in ONNX or ORT format: it holds no graph")
    return artefact


def _ort(data: bytes) -> Artefact:
    # ONNX Runtime's reader imports torch where it is installed.
    from onnx_demucs_compiler.contracts.ort_file import read_ort

    return read_ort(data)


def _onnx(data: bytes) -> Artefact:
    model = onnx.load_model_from_string(data)
    opsets = {item.domain or AI_ONNX: item.version for item in model.opset_import}
    graphs = list(_graphs(model.graph))
    weights = {item.name: _weight(item) for graph in graphs for item in graph.initializer}
    return Artefact(
        format="onnx",
        bytes=len(data),
        ir_version=model.ir_version,
        opsets=opsets,
        nodes=tuple(_node(node, opsets) for graph in graphs for node in graph.node),
        inputs=_described(item for item in model.graph.input if item.name not in weights),
        outputs=_described(model.graph.output),
        weights=weights,
        values=_described(item for graph in graphs for item in graph.value_info),
        metadata={item.key: item.value for item in model.metadata_props},
    )


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
    return Node(name, node.op_type, domain, version, tuple(node.input), tuple(node.output), function)


def _weight(tensor: onnx.TensorProto) -> Value:
    external = tensor.data_location == TensorProto.EXTERNAL
    return Value(type_name(tensor.data_type), tuple(tensor.dims), external)


def _described(items: Iterable[onnx.ValueInfoProto]) -> dict[str, Value]:
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


def type_name(number: int) -> str:
    """ONNX's name of an element type, which ORT format numbers alike."""
    try:
        return str(TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"type {number}"
