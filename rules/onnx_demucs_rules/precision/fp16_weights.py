"""Weights in half precision."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnx_demucs_compiler.graph.storage import LOSSLESS, ROUNDED, encode, float_initializers
from onnx_demucs_compiler.graph.weights import is_weight
from onnx_demucs_compiler.rules import Case, Numerics, Refusal, store
from onnx_demucs_rules.precision.examples import linear
from onnx_demucs_rules.storage.examples import SameTwice

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx_ir.tape import Tape

    from onnx_demucs_compiler.options import Options

NAME = "fp16-weights"

WORTH = 128
"""Elements of which half the bytes outweigh the node that decodes them."""

MATRIX = 1024
"""Elements from which on a tensor is rounded: those below are 0.3 % of a model's bytes."""

ROUNDING_DB = 70.0
"""What is left of a tensor must have this SNR: eleven bits give 73, numbers too small for them less."""

SHAPE, HALF = ((2, 64),), {"precision": NAME}


@store(
    name=NAME,
    precision=NAME,
    why="Released checkpoints hold their weights in half precision: float32 stores every number in twice the "
    "bytes that it has.",
    numerics=Numerics(min_snr_db=60),
    tags={"storage"},
    after=["int8-weights"],
    cases=[
        Case("from-half", lambda: linear(half=True), SHAPE, options=HALF, ops={"Cast": 1}),
        Case("rounded", linear, SHAPE, options=HALF, ops={"Cast": 1}),
        Case("a-table-in-full", lambda: SameTwice(whole=True), SHAPE, options=HALF, fires=2),
        Case("a-table", SameTwice, SHAPE, options=HALF, fires=0, because="no weight that may be rounded"),
        Case("beyond-the-range", lambda: linear(1e7), SHAPE, options=HALF, fires=0,
             because="beyond the range of float16"),
        Case("not-to-be-rounded", linear, SHAPE, options=HALF | {"lossless": True}, fires=0,
             because="no weight that may be rounded"),
        Case("exact-without-rounding", lambda: linear(half=True), SHAPE, options=HALF | {"lossless": True},
             ops={"Cast": 1}),
        Case("too-fine", lambda: linear(1e-5), SHAPE, options=HALF, fires=0,
             because="too fine for float16"),
        Case("small", lambda: linear(size=8), ((2, 8),), options=HALF, fires=0, because="too small"),
        Case("what-int8-leaves", linear, SHAPE, options={"precision": "int8", "keep": ("weight",)},
             beside=("int8-weights",), ops={"Cast": 1, "MatMulInteger": 0}),
    ],
)  # fmt: skip
def fp16_weights(model: ir.Model, options: Options) -> list[ir.Value] | Refusal:
    """A float32 initializer → a float16 one and a ``Cast``, which runtimes fold when they load the model.

    Whatever float16 says exactly is stored in it. Else matrices and kernels that are weights of the model are
    rounded, unless ``options.lossless`` forbids it; tables that rules made, biases, norms and scales stay as
    they are. With ``int8`` it takes what that leaves.
    """
    graph, kept = model.graph, Counter[str]()
    fired = []
    for value in float_initializers(graph):
        assert value.const_value is not None, "an initializer has a value"
        array = value.const_value.numpy()
        half, how = _half(array, may_round=is_weight(value) and not options.lossless)
        if half is None:
            kept[how] += 1
            continue
        encode(graph, value, half, how, _cast, NAME)
        fired.append(value)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(kept.items()))
    return fired or Refusal(f"no float32 initializer is stored in float16: {reasons or 'there is none'}")


def _half(array: NDArray[np.float32], *, may_round: bool) -> tuple[NDArray[np.float16] | None, str]:
    """The array in float16 and its rounding; or ``None`` and a reason."""
    if array.size < WORTH:
        return None, "too small"
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if np.array_equal(half.astype(np.float32), array):
        return half, LOSSLESS
    if not may_round or array.size < MATRIX or sum(size > 1 for size in array.shape) < 2:
        return None, "no weight that may be rounded"
    if not np.isfinite(half).all():
        return None, "beyond the range of float16"
    noise = np.square(array - half, dtype=np.float64).sum()
    if noise * 10 ** (ROUNDING_DB / 10) > np.square(array, dtype=np.float64).sum():
        return None, "too fine for float16"
    return half, ROUNDED


def _cast(tape: Tape, stored: ir.Value) -> ir.Value:
    return tape.op("Cast", [stored], {"to": ir.DataType.FLOAT})
