"""An ONNX graph in float64, with chosen nodes in ONNX Runtime's float32.

What the chosen nodes alone cost in fidelity is then the difference from the graph all in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import helper, numpy_helper
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnx import ModelProto, NodeProto
    from torch import Tensor


class Float64Graph:
    """A model that is evaluated node by node.

    Args:
        model: of ``ai.onnx`` operators only.
    """

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
        self.last_use = {name: index for index, node in enumerate(model.graph.node) for name in node.input}
        self.sessions: dict[int, ort.InferenceSession] = {}

    def run(self, mix: np.ndarray, in_single: Callable[[NodeProto], bool]) -> np.ndarray:
        """The first output for one input, ``in_single`` nodes in float32."""
        graph = self.model.graph
        values: dict[str, Tensor] = {graph.input[0].name: torch.from_numpy(mix.astype(np.float64))}
        wanted = graph.output[0].name
        for index, node in enumerate(graph.node):
            inputs = [self._value(name, values) for name in node.input]
            compute = self._single if in_single(node) else self._double
            for name, value in zip(node.output, compute(index, node, inputs), strict=True):
                values[name] = value
            for name in node.input:
                if self.last_use[name] == index and name != wanted:
                    values.pop(name, None)
        return values[wanted].numpy()

    def _value(self, name: str, values: dict[str, Tensor]) -> Tensor | None:
        if not name:
            return None
        if name in values:
            return values[name]
        constant = self.constants[name]
        return torch.from_numpy(
            constant.astype(np.float64) if constant.dtype == np.float32 else constant.copy()
        )

    def _single(self, index: int, node: NodeProto, inputs: Sequence[Tensor | None]) -> list[Tensor]:
        feeds = {
            name: (value.float() if value.dtype == torch.float64 else value).numpy()
            for name, value in zip(node.input, inputs, strict=True)
            if value is not None
        }
        if index not in self.sessions:
            self.sessions[index] = _session(node, feeds, self.model)
        outputs = self.sessions[index].run(None, feeds)
        return [
            torch.from_numpy(value.astype(np.float64) if value.dtype == np.float32 else value)
            for value in outputs
        ]

    def _double(self, index: int, node: NodeProto, inputs: Sequence[Tensor | None]) -> list[Tensor]:  # noqa: ARG002
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        result = OPERATORS[node.op_type](*inputs, **attributes)
        return list(result) if isinstance(result, list | tuple) else [result]


def _session(node: NodeProto, feeds: dict[str, np.ndarray], model: ModelProto) -> ort.InferenceSession:
    ports = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
    graph = helper.make_graph([node], "node", ports, outputs)
    single = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    return ort.InferenceSession(single.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _ints(value: Tensor | None) -> list[int]:
    return [] if value is None else [int(item) for item in value.reshape(-1)]


def _both_sides(pads: Sequence[int], rank: int) -> list[int]:
    """ONNX pads (all begins, then all ends) in the order of ``F.pad``."""
    return [side for dim in reversed(range(rank)) for side in (pads[dim], pads[rank + dim])]


def _conv(x: Tensor, w: Tensor, b: Tensor | None = None, **a: Any) -> Tensor:
    rank = x.ndim - 2
    x = F.pad(x, _both_sides(a.get("pads", [0] * 2 * rank), rank))
    convolve = F.conv1d if rank == 1 else F.conv2d
    return convolve(x, w, b, a.get("strides", 1), 0, a.get("dilations", 1), a.get("group", 1))


def _conv_transpose(x: Tensor, w: Tensor, b: Tensor | None = None, **a: Any) -> Tensor:
    assert not any(a.get("pads", [])), "cropped transposed convolutions are not implemented"
    convolve = F.conv_transpose1d if x.ndim == 3 else F.conv_transpose2d
    return convolve(x, w, b, a.get("strides", 1), groups=a.get("group", 1))


def _pad(
    x: Tensor,
    pads: Tensor,
    value: Tensor | None = None,
    axes: Tensor | None = None,
    mode: bytes = b"constant",
) -> Tensor:
    dims = _ints(axes) or list(range(x.ndim))
    given = _ints(pads)
    sides = [0] * 2 * x.ndim
    for position, dim in enumerate(dims):
        sides[dim], sides[x.ndim + dim] = given[position], given[len(dims) + position]
    if mode == b"constant":
        return F.pad(x, _both_sides(sides, x.ndim), value=0.0 if value is None else float(value))
    for dim in range(x.ndim):
        if before_after := (sides[dim], sides[x.ndim + dim]):
            index = np.pad(np.arange(x.shape[dim]), before_after, mode=mode.decode())
            x = x.index_select(dim, torch.from_numpy(index))
    return x


def _slice(
    x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    dims = _ints(axes) or list(range(len(starts)))
    strides = _ints(steps) or [1] * len(dims)
    index: list[slice] = [slice(None)] * x.ndim
    for dim, start, end, stride in zip(dims, _ints(starts), _ints(ends), strides, strict=True):
        index[dim] = slice(start, min(end, x.shape[dim]), stride)
    return x[tuple(index)]


def _reduce(measure: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def reduce(x: Tensor, axes: Tensor | None = None, keepdims: int = 1, **_: Any) -> Tensor:
        return measure(x, tuple(_ints(axes)) or tuple(range(x.ndim)), keepdim=bool(keepdims))

    return reduce


def _split(x: Tensor, sizes: Tensor | None = None, axis: int = 0, num_outputs: int = 0) -> list[Tensor]:
    return list(x.split(_ints(sizes), axis) if sizes is not None else x.chunk(num_outputs, axis))


def _unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    rank = x.ndim + axes.numel()
    for axis in sorted(item % rank for item in _ints(axes)):
        x = x.unsqueeze(axis)
    return x


def _reshape(x: Tensor, shape: Tensor, allowzero: int = 0) -> Tensor:
    return x.reshape(
        [x.shape[i] if size == 0 and not allowzero else size for i, size in enumerate(_ints(shape))]
    )


def _gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    alpha: float = 1,
    beta: float = 1,
    transA: int = 0,  # noqa: N803 - ONNX's own name
    transB: int = 0,  # noqa: N803 - ONNX's own name
) -> Tensor:
    product = alpha * ((a.T if transA else a) @ (b.T if transB else b))
    return product if c is None else product + beta * c


def _gather(x: Tensor, index: Tensor, axis: int = 0) -> Tensor:
    axis %= x.ndim
    chosen = x.index_select(axis, index.reshape(-1) % x.shape[axis])
    return chosen.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _layer_norm(
    x: Tensor, scale: Tensor, bias: Tensor | None = None, axis: int = -1, epsilon: float = 1e-5, **_: Any
) -> Tensor:
    return F.layer_norm(x, x.shape[axis:], scale, bias, epsilon)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": torch.add,
    "Cast": lambda x, to: x.to({1: torch.float64, 7: torch.int64, 11: torch.float64}[to]),
    "Concat": lambda *parts, axis: torch.cat(parts, axis),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "ConstantOfShape": lambda shape: torch.zeros(_ints(shape), dtype=torch.float64),
    "Cos": torch.cos,
    "Div": torch.div,
    "Erf": torch.erf,
    "Expand": lambda x, shape: x * torch.ones(_ints(shape), dtype=x.dtype),
    "Gather": _gather,
    "Gemm": _gemm,
    "Identity": lambda x: x,
    "InstanceNormalization": lambda x, s, b, epsilon=1e-5: F.instance_norm(x, weight=s, bias=b, eps=epsilon),
    "LayerNormalization": _layer_norm,
    "MatMul": torch.matmul,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Pad": _pad,
    "Pow": torch.pow,
    "Reciprocal": torch.reciprocal,
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Reshape": _reshape,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Slice": _slice,
    "Softmax": lambda x, axis=-1: x.softmax(axis),
    "Split": _split,
    "Sqrt": torch.sqrt,
    "Squeeze": lambda x, axes: x.squeeze(tuple(_ints(axes))),
    "Sub": torch.sub,
    "Transpose": lambda x, perm: x.permute(*perm),
    "Unsqueeze": _unsqueeze,
}
