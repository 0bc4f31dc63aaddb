"""Weights keep their names: a parameter wanted in another layout is stored in that layout, as itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from numpy.typing import NDArray

# What torch.onnx says of an initializer that is a parameter of the module.
KIND = "pkg.torch.export.graph_signature.InputSpec.kind"

LARGE = 8192

JOINED_BY = "+"

LAYOUTS: dict[str, Callable[[NDArray[Any], ir.Node], NDArray[Any]]] = {
    "Transpose": lambda array, node: array.transpose(node.attributes["perm"].as_ints()),
    "Reshape": lambda array, node: array.reshape(_second_input(node)),
    "Unsqueeze": lambda array, node: np.expand_dims(array, tuple(_second_input(node))),
    "Squeeze": lambda array, node: np.squeeze(array, tuple(_second_input(node))),
}


def joined_name(names: Iterable[str]) -> str:
    """What an initializer is called that holds several weights."""
    return JOINED_BY.join(names)


def weights_in(name: str, weights: Container[str]) -> tuple[str, ...]:
    """The weights that an initializer holds: one, several joined, or one of which it is a numbered part.

    Args:
        name: of the initializer.
        weights: what the module calls its weights.
    """
    whole, _, number = name.rpartition(".")
    if number.isdecimal() and whole in weights:
        return (whole,)
    joined = tuple(name.split(JOINED_BY))
    return joined if all(part in weights for part in joined) else ()


def weight_bytes(model: ir.Model, names: Container[str]) -> int:
    """The size of the initializers that hold weights, or parts of them.

    Args:
        model: the graph.
        names: what the module calls its weights.
    """
    sizes = {name: value.const_value.nbytes for name, value in model.graph.initializers.items()
             if value.const_value is not None}  # fmt: skip
    return sum(size for name, size in sizes.items() if weights_in(name, names))


def may_fold(node: ir.Node) -> bool | None:
    """Keep a constant folder from giving a weight a new name, and from storing a large table twice.

    Returns:
        ``False`` to leave the node alone, ``None`` to let the folder's own limits decide.
    """
    values = [value for value in node.inputs if value is not None]
    if any(is_weight(value) for value in values):
        return False
    large = any(value.const_value is not None and value.const_value.size > LARGE for value in values)
    return False if large and node.op_type in LAYOUTS else None


def store_as_used(model: ir.Model) -> None:
    """Store each weight whose only use is in parts, or in another layout, as what is used, in place."""
    for node in list(model.graph):
        weight = node.inputs[0] if node.op_type == "Split" else None
        if weight is not None and is_weight(weight) and len(weight.uses()) == 1:
            _cut(model.graph, node, weight)
    for node in list(model.graph):
        weight = node.inputs[0] if node.op_type in LAYOUTS else None
        if weight is None or not is_weight(weight) or len(weight.uses()) > 1:
            continue
        if any(value is None or value.const_value is None for value in node.inputs):
            continue
        _replace(model.graph, node, weight)


def _cut(graph: ir.Graph, node: ir.Node, weight: ir.Value) -> None:
    assert weight.const_value is not None, "an initializer has a value"
    axis = node.attributes.get_int("axis", 0)
    sizes = [int(str(output.shape[axis])) for output in node.outputs if output.shape is not None]
    arrays = np.split(weight.const_value.numpy(), np.cumsum(sizes[:-1]), axis)
    for number, (output, array) in enumerate(zip(node.outputs, arrays, strict=True)):
        part = _stored(weight, f"{weight.name}.{number}", array)
        output.replace_all_uses_with(part)
        graph.register_initializer(part)
    graph.remove(node, safe=True)
    assert weight.name is not None, "an initializer has a name"
    del graph.initializers[weight.name]


def _replace(graph: ir.Graph, node: ir.Node, weight: ir.Value) -> None:
    assert weight.name is not None, "an initializer has a name"
    assert weight.const_value is not None, "an initializer has a value"
    stored = _stored(weight, weight.name, LAYOUTS[node.op_type](weight.const_value.numpy(), node))
    node.outputs[0].replace_all_uses_with(stored)
    graph.remove(node, safe=True)
    del graph.initializers[weight.name]
    graph.register_initializer(stored)


def _stored(weight: ir.Value, name: str, array: NDArray[Any]) -> ir.Value:
    contiguous = np.ascontiguousarray(array)
    stored = ir.Value(name=name, shape=ir.Shape(contiguous.shape))
    stored.const_value = ir.tensor(contiguous, name=name)
    stored.dtype = stored.const_value.dtype
    stored.metadata_props.update(weight.metadata_props)
    return stored


def is_weight(value: ir.Value) -> bool:
    """Whether a value is a parameter of the module, or made of one, as it is stored."""
    return value.is_initializer() and value.metadata_props.get(KIND) == "PARAMETER"


def _second_input(node: ir.Node) -> list[int]:
    value = node.inputs[1]
    assert value is not None, "the caller has looked"
    assert value.const_value is not None, "the caller has looked"
    return [int(item) for item in value.const_value.numpy()]
