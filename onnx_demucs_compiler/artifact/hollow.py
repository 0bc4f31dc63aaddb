"""A model with its large weights beside it, and their bytes."""

from __future__ import annotations

import io
from collections.abc import MutableSequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

import onnx
from google.protobuf.message import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
METADATA = onnx.ModelProto.METADATA_PROPS_FIELD_NUMBER
INITIALIZER = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
RAW_DATA = onnx.TensorProto.RAW_DATA_FIELD_NUMBER


class Numbers(Protocol):
    """The numbers of a tensor, as ``raw_data`` has them."""

    @property
    def nbytes(self) -> int:
        """Their size."""

    def tobytes(self) -> bytes:
        """A copy of them."""


class HollowModel(NamedTuple):
    """A model in which some initializers have no numbers.

    Attributes:
        proto: the model, without these numbers.
        weights: them, by the initializers' names.
    """

    proto: onnx.ModelProto
    weights: Mapping[str, Numbers]

    def serialized(self) -> bytes:
        """The bytes of the whole model, in protobuf's deterministic order."""
        data = io.BytesIO()
        for piece in self.pieces():
            data.write(piece)
        return data.getvalue()

    def pieces(self, *, metadata: bool = True) -> Iterator[bytes]:
        """The same bytes in turn, of one initializer at a time.

        A message in protobuf is its fields by number, each a key, a length and content.

        Args:
            metadata: with the model's ``metadata_props``.
        """
        for part in self._parts(metadata=metadata):
            yield self._numbers(part) if isinstance(part, onnx.TensorProto) else part

    def places(self) -> dict[str, tuple[int, int]]:
        """Offset and size of each weight's numbers among the bytes, by name."""
        offset, found = 0, {}
        for part in self._parts(metadata=True):
            size = self._size(part) if isinstance(part, onnx.TensorProto) else len(part)
            if isinstance(part, onnx.TensorProto) and part.name in self.weights:
                found[part.name] = offset, size
            offset += size
        return found

    def _parts(self, *, metadata: bool) -> Iterator[bytes | onnx.TensorProto]:
        """The bytes, with each initializer in place of its numbers."""
        before, after = _around(self.proto, GRAPH, *(() if metadata else (METADATA,)))
        graph_before, graph_after = _around(self.proto.graph, INITIALIZER)
        tensors = self.proto.graph.initializer
        ends = [self._ends(tensor) for tensor in tensors]
        inside = sum(map(len, chain(*ends))) + sum(map(self._size, tensors))
        yield before + _key(GRAPH, len(graph_before) + inside + len(graph_after)) + graph_before
        for tensor, (head, tail) in zip(tensors, ends, strict=True):
            yield head
            yield tensor
            yield tail
        yield graph_after + after

    def _ends(self, tensor: onnx.TensorProto) -> tuple[bytes, bytes]:
        """The bytes of an initializer before its numbers, and after them."""
        before, after = _around(tensor, RAW_DATA)
        size = self._size(tensor)
        if tensor.name in self.weights or tensor.HasField("raw_data"):
            before += _key(RAW_DATA, size)
        return _key(INITIALIZER, len(before) + size + len(after)) + before, after

    def _size(self, tensor: onnx.TensorProto) -> int:
        stored = self.weights.get(tensor.name)
        return len(tensor.raw_data) if stored is None else stored.nbytes

    def _numbers(self, tensor: onnx.TensorProto) -> bytes:
        stored = self.weights.get(tensor.name)
        return tensor.raw_data if stored is None else stored.tobytes()


def _around(message: Message, number: int, *without: int) -> tuple[bytes, bytes]:
    """A message's serialised fields before one, and after it, without some."""
    before, after = type(message)(), type(message)()
    for field, value in message.ListFields():
        if field.number in (number, *without):
            continue
        part = before if field.number < number else after
        if isinstance(value, Message):
            getattr(part, field.name).CopyFrom(value)
        elif isinstance(value, MutableSequence):
            getattr(part, field.name).extend(value)
        else:
            setattr(part, field.name, value)
    return before.SerializeToString(deterministic=True), after.SerializeToString(deterministic=True)


def _key(number: int, length: int) -> bytes:
    """The key of a field that has a length, and its length."""
    return _varint(number << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    """A number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
