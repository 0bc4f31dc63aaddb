"""An artifact as contracts see it: its declarations, without weights.

It is read from ONNX or ORT format.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnx import TensorProto

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        attributes: by name, without graphs; empty in ORT format.
        captured: values from outside that the graphs inside it read; empty in ORT format.
    """

    name: str
    op: str
    domain: str
    version: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict, compare=False)
    captured: tuple[str, ...] = field(default=(), compare=False)

    @property
    def operator(self) -> str:
        """As reduced-operator configs write it: ``domain;version;Op``."""
        return f"{self.domain};{self.version};{self.op}"


@dataclass(frozen=True)
class Value:
    """A tensor.

    Attributes:
        type: of its elements.
        shape: if the file tells.
        external: the name of the other file that holds its data, ``?`` where that is not told; empty where
            the file itself does.
    """

    type: str
    shape: Shape | None = None
    external: str = ""

    @property
    def bytes(self) -> int | None:
        """The size in bytes; ``None`` if a dimension is open."""
        sizes = [size for size in self.shape or () if isinstance(size, int)]
        if self.shape is None or len(sizes) < len(self.shape) or self.type not in BYTES:
            return None
        return math.prod(sizes) * BYTES[self.type]


@dataclass(frozen=True)
class Artifact:
    """The declarations of a file.

    Attributes:
        format: ``onnx`` or ``ort``.
        bytes: of the file.
        ir_version: of ONNX.
        producer: the program that wrote it, and its version, as the file says.
        opsets: version by domain.
        nodes: those of subgraphs too.
        inputs: of the graph, by name.
        outputs: likewise.
        weights: likewise.
        values: everything between, as far as the file tells.
        metadata: ``metadata_props``.
        numbers: the few whole numbers of shapes, axes and bounds, by name; empty in ORT format.
    """

    format: str
    bytes: int
    ir_version: int
    producer: str
    opsets: Mapping[str, int]
    nodes: tuple[Node, ...]
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]
    weights: Mapping[str, Value]
    values: Mapping[str, Value]
    metadata: Mapping[str, str]
    numbers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

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


def type_name(number: int) -> str:
    """ONNX's name of an element type, which ORT format numbers alike."""
    try:
        return str(TensorProto.DataType.Name(number)).lower()
    except ValueError:
        return f"type {number}"
