"""The digest of a compiled model, which tells of later changes."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import Message

from onnx_demucs_compiler.artifact.hollow import HollowModel
from onnx_demucs_compiler.artifact.metadata import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnx_demucs_compiler.artifact.hollow import Numbers
    from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata


@dataclass(frozen=True)
class Change:
    """The difference between a file and what was compiled.

    Attributes:
        changed: ``None`` where nothing tells.
        why: what tells of it, or why nothing does; empty for an unchanged file.
    """

    changed: bool | None
    why: str = ""


def digest(model: onnx.ModelProto, weights: Mapping[str, Numbers] = MappingProxyType({})) -> str:
    """The sha256 (hexadecimal) of a model without its metadata.

    What is hashed is the model with its weights inside, without ``metadata_props`` and the tensors'
    ``data_location``, in protobuf's deterministic serialisation. A model whose weights were moved to another
    file is thus the same.

    Args:
        model: with its external data loaded.
        weights: the numbers of initializers that have none in the model, by name.
    """
    found = hashlib.sha256()
    with _unlocated(model):
        for piece in HollowModel(model, weights).pieces(metadata=False):
            found.update(piece)
    return found.hexdigest()


@contextmanager
def _unlocated(model: onnx.ModelProto) -> Iterator[None]:
    """The model without ``data_location`` inside the block; a copy would double it."""
    located = [
        (tensor, tensor.data_location) for tensor in _tensors(model) if tensor.HasField("data_location")
    ]
    for tensor, _ in located:
        tensor.ClearField("data_location")
    try:
        yield
    finally:
        for tensor, location in located:
            tensor.data_location = location


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type:
            for item in [value] if isinstance(value, Message) else value:
                yield from _tensors(item)


def change(model: onnx.ModelProto, metadata: ArtifactMetadata) -> Change:
    """The change to a model since its metadata was written."""
    if not metadata.digest:
        return Change(None, "the file is older than the digest that would tell")
    if digest(model) == metadata.digest:
        return Change(False)
    return Change(True, f"its producer is {producer(model)}{_other_writers(model, metadata)}")


def producer(model: onnx.ModelProto) -> str:
    """The program that wrote a model, and its version."""
    return f"{model.producer_name} {model.producer_version}".strip() or "unnamed"


def _other_writers(model: onnx.ModelProto, metadata: ArtifactMetadata) -> str:
    """The programs that added metadata; some leave the producer."""
    own = metadata.to_props()
    keys = [item.key for item in model.metadata_props if item.key not in own]
    names = sorted({key.partition(".")[0] for key in keys if not key.startswith(PREFIX)})
    return f", and its metadata names {', '.join(names)}" if names else ""
