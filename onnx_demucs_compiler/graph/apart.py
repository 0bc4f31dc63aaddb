"""A model without the numbers of its weights, for a while."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGE_BYTES = 4096
"""Smaller tensors keep their numbers, among which are shapes and axes."""


@contextmanager
def weights_apart(model: ir.Model) -> Iterator[Mapping[str, ir.TensorProtocol]]:
    """Leave the numbers of large initializers out inside the block.

    Each is then a tensor outside the model, at a location that is its key among what is yielded; serialising
    the model copies no numbers. At the end every tensor of such a location has its numbers again, in a graph
    that was put in the model's place too, whatever it is called there.

    Yields:
        The tensors that were left out.
    """
    before = model.graph
    held = {
        name: value.const_value
        for name, value in before.initializers.items()
        if value.const_value is not None and value.const_value.nbytes >= LARGE_BYTES
    }
    for name, tensor in held.items():
        shape = ir.Shape(tensor.shape.numpy())
        before.initializers[name].const_value = ir.ExternalTensor(
            name, None, None, tensor.dtype, shape=shape, name=name
        )
    try:
        yield held
    finally:
        for value in chain(before.initializers.values(), model.graph.initializers.values()):
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = held.get(str(value.const_value.location), value.const_value)
