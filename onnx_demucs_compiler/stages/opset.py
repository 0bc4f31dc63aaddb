"""A final graph restated in another opset, with the same numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.options import DEFAULT_OPSET, OPSETS

if TYPE_CHECKING:
    from collections.abc import Callable

OLDEST = OPSETS[0]
SUPPORTED = OPSETS
"""The newest is as far as :data:`COMPATIBLE` has been reviewed and ONNX Runtime 1.31 loads."""

ONNXRUNTIME = {17: "1.12", 18: "1.14", 19: "1.16", 20: "1.17", 21: "1.18"}

# Revised after 18 with the same inputs, outputs, attributes and defaults: wider types, or new modes.
SAME_SIGNATURE = """
    ConstantOfShape Constant Conv ConvTranspose Cos Elu Equal Flatten GRU GlobalAveragePool GlobalMaxPool
    HardSigmoid HardSwish Identity If InstanceNormalization IsInf IsNaN LSTM Loop MaxPool Pad RNN ReduceMax
    ReduceMin Reshape Round Scan Selu Shape Sin Size Softplus Softsign Squeeze Tan TopK Transpose Unsqueeze
"""
# Revised after 18 with new optional attributes, whose defaults mean what the operator did before.
COMPATIBLE = dict.fromkeys(SAME_SIGNATURE.split(), "same signature") | {
    "Cast": "saturate (19) and round_mode (24) bear on 8-bit floats only",
    "CastLike": "saturate (19) and round_mode (24) bear on 8-bit floats only",
    "DequantizeLinear": "block_size (21) and output_dtype (23) are 0: whole axes, the type of the scale",
}


def ir_version_for(opset: int) -> int:
    """The IR version of the first ONNX release with the opset.

    Source: ``onnx.helper.VERSION_TABLE``.
    """
    return min(int(row[1]) for row in onnx.helper.VERSION_TABLE if row[2] == opset)


def oldest_onnxruntime(opset: int) -> str | None:
    """The first ONNX Runtime that takes the opset and its IR version.

    None beyond the table.

    From https://onnxruntime.ai/docs/reference/compatibility.html. Release 1.15 has opset 19 but only IR 8.
    """
    return ONNXRUNTIME.get(opset)


def restate_in_opset(model: ir.Model, opset: int) -> None:
    """Restate a final graph of opset 18 in another opset, in place.

    Args:
        model: the graph; of no further use where this raises.
        opset: one of :data:`SUPPORTED`.

    Raises:
        CompilerError: an operator has no equivalent in that opset, or its revision has not been reviewed.
    """
    if opset not in SUPPORTED:
        raise CompilerError(f"opset {opset} is not one of {SUPPORTED[0]} to {SUPPORTED[-1]}")
    if opset == DEFAULT_OPSET:
        return
    for node in [node for node in model.graph.all_nodes() if node.domain in ("", "ai.onnx")]:
        if opset < DEFAULT_OPSET:
            _lower(node)
        elif _revised(node.op_type, opset) and node.op_type not in COMPATIBLE:
            raise _refusal(node, opset, "its revision since 18 has not been reviewed")
        node.version = None
    model.opset_imports[""] = opset
    model.ir_version = ir_version_for(opset)
    passes.RemoveUnusedNodesPass()(model)


def _revised(op_type: str, opset: int) -> bool:
    return _since(op_type, opset) != _since(op_type, DEFAULT_OPSET)


def _since(op_type: str, opset: int) -> int | None:
    try:
        schema = onnx.defs.get_schema(op_type, opset)
    except onnx.defs.SchemaError:
        return None
    return None if schema.deprecated else schema.since_version


def _lower(node: ir.Node) -> None:
    if not _revised(node.op_type, OLDEST):
        return
    lowering = LOWERINGS.get(node.op_type)
    if lowering is None:
        raise _refusal(node, OLDEST, "it has no counterpart there")
    lowering(node)


def _reduce(node: ir.Node) -> None:
    axes = _constant(node, 1, "its axes are computed")
    keep_all = _pop_int(node, "noop_with_empty_axes", 0)
    if axes is not None and axes.size:
        node.attributes["axes"] = ir.AttrInt64s("axes", axes.tolist())
    elif keep_all:
        raise _refusal(node, OLDEST, "noop_with_empty_axes is new in 18")
    node.resize_inputs(1)


def _split(node: ir.Node) -> None:
    parts = _pop_int(node, "num_outputs", len(node.outputs))
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        return
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    axis = node.attributes.get_int("axis", 0)
    total = shape[axis] if shape is not None else None
    if not isinstance(total, int):
        raise _refusal(node, OLDEST, "the size that it splits is open")
    part = -(-total // parts)
    sizes = [part] * (parts - 1) + [total - part * (parts - 1)]
    _set_input(node, 1, np.array(sizes, np.int64), "sizes")


def _pad(node: ir.Node) -> None:
    if len(node.inputs) < 4 or node.inputs[3] is None:
        node.resize_inputs(min(len(node.inputs), 3))
        return
    axes = _constant(node, 3, "its axes are computed")
    pads = _constant(node, 1, "its axes are given and its pads computed")
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    if axes is None or pads is None or shape is None:
        raise _refusal(node, OLDEST, "the rank of what it pads is not known")
    whole = np.zeros((2, len(shape)), np.int64)
    whole[:, axes] = pads.reshape(2, -1)
    node.resize_inputs(3)
    _set_input(node, 1, whole.ravel(), "pads")


def _without_new_attributes(defaults: dict[str, object]) -> Callable[[ir.Node], None]:
    def lowered(node: ir.Node) -> None:
        for name, default in defaults.items():
            attribute = node.attributes.pop(name, None)
            if attribute is not None and attribute.value != default:
                raise _refusal(node, OLDEST, f"its {name} is new in 18")

    return lowered


def _scatter(node: ir.Node) -> None:
    if node.attributes.get_string("reduction", "none") in ("max", "min"):
        raise _refusal(node, OLDEST, "its reduction is new in 18")


LOWERINGS: dict[str, Callable[[ir.Node], None]] = {
    **{
        f"Reduce{kind}": _reduce
        for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
    },
    "Split": _split,
    "Pad": _pad,
    "Resize": _without_new_attributes({"antialias": 0, "keep_aspect_ratio_policy": "stretch", "axes": None}),
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
}


def _constant(node: ir.Node, index: int, otherwise: str) -> np.ndarray | None:
    value = node.inputs[index] if len(node.inputs) > index else None
    if value is None:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is None or value.is_graph_input():
        raise _refusal(node, OLDEST, otherwise)
    return tensor.numpy()


def _pop_int(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.pop(name, None)
    return default if attribute is None else attribute.as_int()


def _set_input(node: ir.Node, index: int, array: np.ndarray, what: str) -> None:
    assert isinstance(node.graph, ir.Graph)
    value = ir.Value(name=f"{node.outputs[0].name}_{what}", const_value=ir.tensor(array))
    value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.INT64
    node.graph.register_initializer(value)
    node.resize_inputs(max(index + 1, len(node.inputs)))
    node.replace_input_with(index, value)


def _refusal(node: ir.Node, opset: int, reason: str) -> CompilerError:
    return CompilerError(f"{node.op_type} ({node.name}) has no equivalent in opset {opset}: {reason}")
