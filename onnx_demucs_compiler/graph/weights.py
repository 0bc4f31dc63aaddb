"""Weights that keep their names, also in another layout."""

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
    "Transpose": lambda array, node: array.transpose(node.attributes.get_ints("perm")),
    "Reshape": lambda array, node: array.reshape(_new_shape(array, node)),
    "Unsqueeze": lambda array, node: np.expand_dims(array, _second_input(node)),
    "Squeeze": lambda array, node: np.squeeze(array, _second_input(node) if len(node.inputs) > 1 else None),
}


def joined_name(names: Iterable[str]) -> str:
    """The name of an initializer that holds several weights."""
    return JOINED_BY.join(names)


def weights_in(name: str, weights: Container[str]) -> tuple[str, ...]:
    """The weights in an initializer: one, several joined, or a numbered part.

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
    """Keep a constant folder from renaming weights and from duplicating large tables.

    Returns:
        ``False`` to leave the node alone, ``None`` to let the folder's own limits decide.
    """
    values = [value for value in node.inputs if value is not None]
    if any(is_weight(value) for value in values):
        return False
    large = any(value.const_value is not None and value.const_value.size > LARGE for value in values)
    return False if large and node.op_type in LAYOUTS else None


def store_as_used(model: ir.Model) -> None:
    """Store each weight as its only use needs it: cut or permuted."""
    for node in list(model.graph):
        weight = node.inputs[0] if node.op_type == "Split" else None
        if weight is not None and is_weight(weight) and _is_used_once(weight):
            _cut(model.graph, node, weight)
    for node in list(model.graph):
        weight = node.inputs[0] if node.op_type in LAYOUTS else None
        if weight is None or not is_weight(weight) or not _is_used_once(weight):
            continue
        if any(value is None or value.const_value is None for value in node.inputs):
            continue
        _replace(model.graph, node, weight)


def _is_used_once(weight: ir.Value) -> bool:
    """True if a weight has one use, and neither is an output."""
    users = weight.consumers()
    outputs = [weight, *(output for user in users for output in user.outputs)]
    return len(weight.uses()) == 1 and not any(output.is_graph_output() for output in outputs)


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
    contiguous = np.asarray(array, order="C")  # not ascontiguousarray, which makes [1] of a number
    stored = ir.Value(name=name, shape=ir.Shape(contiguous.shape))
    stored.const_value = ir.tensor(contiguous, name=name)
    stored.dtype = stored.const_value.dtype
    stored.metadata_props.update(weight.metadata_props)
    return stored


def is_weight(value: ir.Value) -> bool:
    """True if a value is, or is made of, a stored parameter."""
    return value.is_initializer() and value.metadata_props.get(KIND) == "PARAMETER"


def _new_shape(array: NDArray[Any], node: ir.Node) -> list[int]:
    """The shape a Reshape asks for, with 0 resolved as ``allowzero`` says."""
    sizes = _second_input(node)
    if node.attributes.get_int("allowzero", 0):
        return list(sizes)
    return [size or array.shape[axis] for axis, size in enumerate(sizes)]


def _second_input(node: ir.Node) -> tuple[int, ...]:
    value = node.inputs[1]
    assert value is not None, "the caller has looked"
    assert value.const_value is not None, "the caller has looked"
    return tuple(int(item) for item in value.const_value.numpy())
