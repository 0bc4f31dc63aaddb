"""A recurrent layer without its initial state of zeros, the default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, NotMine, Refusal, graph_pass
from onnx_demucs_rules.recurrent.examples import FROM_ZEROS, GivenState, Recurrence

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.rules import NodeSite

STATES = range(5, 7)


def decide(site: NodeSite) -> Refusal | NotMine | None:
    """Every state that is given is zeros."""
    given = [state for name in ("initial_h", "initial_c") if (state := site.get(name)) is not None]
    if not given:
        return NotMine()
    return None if all(map(_is_zero, given)) else Refusal("its initial state is not zeros")


@graph_pass(
    decide=decide,
    on=("LSTM", "GRU", "RNN"),
    name="drop-zero-state",
    why="torch.onnx hands every recurrent layer an initial state of zeros, which ONNX takes for granted: a "
    "constant, or where the batch is open half a dozen nodes that make one.",
    numerics=EXACT,
    tags={"recurrent"},
    cases=[
        Case("lstm", Recurrence, ((7, 3, 5),)),
        Case("gru", lambda: Recurrence(nn.GRU), ((7, 3, 5),)),
        Case("zeros-of-the-model", lambda: GivenState(0.0), ((7, 3, 5),)),
        GraphCase("zeros-of-an-open-batch", FROM_ZEROS, ops={"LSTM": 1, "Expand": 0, "Shape": 0}),
        GraphCase("with-lengths", FROM_ZEROS.replace("r, , , state", "r, , lengths, state"),
                  ops={"LSTM": 1, "Expand": 1}),
        GraphCase("other-state", FROM_ZEROS.replace("state, state", "other, other"), fires=0,
                  because="initial state is not zeros"),
        GraphCase("zeros-in-one-of-two-states", FROM_ZEROS.replace("state, state", "state, other"), fires=0,
                  because="initial state is not zeros"),
    ],
)  # fmt: skip
def drop_zero_state(site: NodeSite, _: None) -> None:
    """``LSTM(x, W, R, B, _, zeros, zeros)`` → ``LSTM(x, W, R, B)``."""
    node = site.node
    for index in STATES[: len(node.inputs) - STATES.start]:
        node.replace_input_with(index, None)
    node.resize_inputs(1 + max(index for index, value in enumerate(node.inputs) if value is not None))


def _is_zero(value: ir.Value) -> bool:
    """Zeros, or zeros repeated."""
    producer = value.producer()
    if producer is not None and producer.op_type == "Expand":
        repeated = producer.inputs[0]
        return repeated is not None and _is_zero(repeated)
    return value.const_value is not None and not value.const_value.numpy().any()
