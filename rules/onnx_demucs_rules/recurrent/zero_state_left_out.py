"""A recurrent layer that begins with zeros, as it does if nothing is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_ir.passes import common as passes
from torch import nn

from onnx_demucs_compiler.rule import EXACT, Case, Refusal, graph_pass
from onnx_demucs_rules.recurrent.examples import GivenState, Recurrence

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.options import Options

RECURRENT = ("LSTM", "GRU", "RNN")
STATES = (5, 6)


@graph_pass(
    name="zero-state-left-out",
    why="torch.onnx hands every recurrent layer an initial state of zeros, which ONNX takes for granted: a "
    "constant, or where the batch is open half a dozen nodes that make one.",
    numerics=EXACT,
    tags={"recurrent"},
    cases=[
        Case("lstm", Recurrence, ((7, 3, 5),)),
        Case("gru", lambda: Recurrence(nn.GRU), ((7, 3, 5),)),
        Case("zeros-of-the-model", lambda: GivenState(0.0), ((7, 3, 5),)),
        Case("other-state", lambda: GivenState(0.5), ((7, 3, 5),), fires=0,
             because="no recurrent layer is given zeros"),
    ],
)  # fmt: skip
def zero_state_left_out(model: ir.Model, _: Options) -> int | Refusal:
    """``LSTM(x, W, R, B, _, zeros, zeros)`` → ``LSTM(x, W, R, B)``."""
    fires = 0
    for node in model.graph:
        states = [index for index in STATES if index < len(node.inputs)] if node.op_type in RECURRENT else []
        if states and all(_is_zero(node.inputs[index]) for index in states):
            node.resize_inputs(STATES[0] - 1)
            fires += 1
    passes.RemoveUnusedNodesPass()(model)
    return fires or Refusal("no recurrent layer is given zeros")


def _is_zero(value: ir.Value | None) -> bool:
    """Zeros, or zeros repeated."""
    if value is None:
        return False
    producer = value.producer()
    if producer is not None and producer.op_type == "Expand":
        return _is_zero(producer.inputs[0])
    return value.const_value is not None and not value.const_value.numpy().any()
