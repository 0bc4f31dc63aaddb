"""Weights in half precision."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnx_demucs_compiler.rule import Case, Numerics, Refusal, graph_pass
from onnx_demucs_compiler.stages.storage import LOSSLESS, ROUNDED, encode, float_initializers
from onnx_demucs_compiler.stages.weights import is_weight
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


@graph_pass(
    name=NAME,
    why="Released checkpoints hold their weights in half precision: float32 stores every number in twice the "
    "bytes that it has.",
    numerics=Numerics(min_snr_db=60),
    tags={"precision", "storage"},
    after=["chosen-stems", "identical-initializers-once", "int8-weights", "select-early", "select-pieces",
           "track-in-one-call", "waveform-interface"],
    cases=[
        Case("from-half", lambda: linear(half=True), SHAPE, options=HALF, ops={"Cast": 1}),
        Case("rounded", linear, SHAPE, options=HALF, ops={"Cast": 1}),
        Case("a-table-in-full", lambda: SameTwice(whole=True), SHAPE, options=HALF, fires=2),
        Case("a-table", SameTwice, SHAPE, options=HALF, fires=0, because="no weight that may be rounded"),
        Case("beyond-the-range", lambda: linear(1e7), SHAPE, options=HALF, fires=0,
             because="beyond the range of float16"),
        Case("too-fine", lambda: linear(1e-5), SHAPE, options=HALF, fires=0,
             because="too fine for float16"),
        Case("small", lambda: linear(size=8), ((2, 8),), options=HALF, fires=0, because="too small"),
        Case("what-int8-leaves", linear, SHAPE, options={"precision": "int8", "keep": ("weight",)},
             beside=("int8-weights",), ops={"Cast": 1, "MatMulInteger": 0}),
        Case("float32", linear, SHAPE, fires=0, because="the precision is fp32"),
    ],
)  # fmt: skip
def fp16_weights(model: ir.Model, options: Options) -> int | Refusal:
    """A float32 initializer → a float16 one and a ``Cast``, which runtimes fold when they load the model.

    Whatever float16 says exactly is stored in it. Else matrices and kernels that are weights of the model are
    rounded; tables that rules made, biases, norms and scales stay as they are. With ``int8`` it takes what
    that leaves.
    """
    if options.precision not in (NAME, "int8"):
        return Refusal(f"the precision is {options.precision}")
    graph, kept = model.graph, Counter[str]()
    fired = 0
    for value in float_initializers(graph):
        assert value.const_value is not None, "an initializer has a value"
        array = value.const_value.numpy()
        half, how = _half(array, weight=is_weight(value))
        if half is None:
            kept[how] += 1
            continue
        encode(graph, value, half, how, _cast, NAME)
        fired += 1
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(kept.items()))
    return fired or Refusal(f"every float32 initializer stays one: {reasons or 'there is none'}")


def _half(array: NDArray[np.float32], *, weight: bool) -> tuple[NDArray[np.float16] | None, str]:
    """The array in float16 and what that made of it, or ``None`` and what speaks against it."""
    if array.size < WORTH:
        return None, "too small"
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if np.array_equal(half.astype(np.float32), array):
        return half, LOSSLESS
    if not weight or array.size < MATRIX or sum(size > 1 for size in array.shape) < 2:
        return None, "no weight that may be rounded"
    if not np.isfinite(half).all():
        return None, "beyond the range of float16"
    noise = np.square(array - half, dtype=np.float64).sum()
    if noise * 10 ** (ROUNDING_DB / 10) > np.square(array, dtype=np.float64).sum():
        return None, "too fine for float16"
    return half, ROUNDED


def _cast(tape: Tape, stored: ir.Value) -> ir.Value:
    return tape.op("Cast", [stored], {"to": ir.DataType.FLOAT})
