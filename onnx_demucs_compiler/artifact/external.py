"""A model in two files: the graph, and its weights.

Where each tensor lies in the second follows from the tensors' bytes alone, not from their names or their
order: another graph with the same weights has the same file of weights.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import onnx
from onnx.external_data_helper import set_external_data

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096
"""Offsets are multiples of it, as the ONNX standard asks, so that a system can map a tensor into memory.

Smaller tensors stay in the graph, where tools look for shapes and axes.
"""


def weights_path(path: Path) -> Path:
    """The weights' path for a graph: ``X.onnx.data`` beside ``X.onnx``."""
    return path.with_name(f"{path.name}.data")


def split(model: onnx.ModelProto, location: str) -> tuple[onnx.ModelProto, bytes]:
    """A model's graph without its large tensors, and the file of these.

    Args:
        model: with its weights inside; not changed.
        location: the name of the second file, without folders.
    """
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    large = [tensor for tensor in graph.graph.initializer if len(tensor.raw_data) >= PAGE]
    contents = {hashlib.sha256(tensor.raw_data).digest(): tensor.raw_data for tensor in large}
    offsets, data = {}, bytearray()
    for key in sorted(contents):
        data += bytes(-len(data) % PAGE)
        offsets[key] = len(data)
        data += contents[key]
    for tensor in large:
        offset = offsets[hashlib.sha256(tensor.raw_data).digest()]
        set_external_data(tensor, location, offset, len(tensor.raw_data))
        tensor.ClearField("raw_data")
    return graph, bytes(data)
