"""The weights of a recurrent layer as its node takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes import common as passes
from torch import nn

from onnx_demucs_compiler.rule import Case, Numerics, Refusal, graph_pass
from onnx_demucs_compiler.stages.weights import joined_name
from onnx_demucs_rules.recurrent.examples import Recurrence, SharedWeights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnx_demucs_compiler.options import Options

RECURRENT = ("LSTM", "GRU", "RNN")
WEIGHTS = slice(1, 4)


@graph_pass(
    name="recurrent-weights-as-stored",
    why="torch orders the gates of an LSTM otherwise than ONNX does, and torch.onnx reorders them in the "
    "graph: 50 Slice and Concat of weights for each layer.",
    numerics=Numerics(min_snr_db=120),
    tags={"recurrent"},
    cases=[
        Case("lstm", Recurrence, ((7, 3, 5),), ops={"Slice": 0, "Concat": 0, "Unsqueeze": 0}),
        Case("two-layers", lambda: Recurrence(num_layers=2), ((7, 3, 5),), fires=2, ops={"Slice": 0}),
        Case("one-direction", lambda: Recurrence(bidirectional=False), ((7, 3, 5),), ops={"Slice": 0}),
        Case("without-bias", lambda: Recurrence(bias=False), ((7, 3, 5),), ops={"Slice": 0}),
        Case("gru", lambda: Recurrence(nn.GRU), ((7, 3, 5),), ops={"Slice": 0, "Concat": 0}),
        Case("a-weight-is-used-elsewhere", SharedWeights, ((7, 3, 5),), fires=0,
             because="layer.weight_ih_l0 is used elsewhere too"),
        Case("nothing-recurrent", lambda: nn.Linear(8, 8), ((2, 8),), fires=0,
             because="no recurrent layer computes its weights"),
    ],
)  # fmt: skip
def recurrent_weights_as_stored(model: ir.Model, _: Options) -> int | Refusal:
    """``LSTM(x, Concat(Slice(w), …), …)`` → ``LSTM(x, W, …)``, ``W`` named ``w+w_reverse``."""
    fires = 0
    reason = "no recurrent layer computes its weights"
    for node in list(model.graph):
        makers = _makers(node) if node.op_type in RECURRENT else []
        if not makers:
            continue
        if shared := _used_elsewhere(makers, model.graph):
            reason = f"{shared} is used elsewhere too"
            continue
        for value in node.inputs[WEIGHTS]:
            if value is not None and not value.is_initializer():
                _store(model.graph, value)
        fires += 1
    passes.RemoveUnusedNodesPass()(model)
    return fires or Refusal(reason)


def _makers(node: ir.Node) -> list[ir.Node]:
    """The nodes that compute a recurrent node's weights, in order; none if they depend on an input."""
    found: dict[ir.Node, None] = {}
    for value in node.inputs[WEIGHTS]:
        if not _trace(value, found):
            return []
    return list(found)


def _trace(value: ir.Value | None, found: dict[ir.Node, None]) -> bool:
    """Add the nodes behind a value, earliest first; whether initializers are all that they are made from."""
    if value is None or value.is_initializer():
        return True
    producer = value.producer()
    if producer is None or not all(_trace(source, found) for source in producer.inputs):
        return False
    found[producer] = None
    return True


def _parameters(makers: list[ir.Node]) -> list[ir.Value]:
    """What is sliced, joined and so on: the first inputs, and all of a Concat's."""
    sources = [
        value
        for node in makers
        for value in (node.inputs if node.op_type == "Concat" else node.inputs[:1])
        if value is not None and value.is_initializer()
    ]
    return list(dict.fromkeys(sources))


def _used_elsewhere(makers: list[ir.Node], graph: ir.Graph) -> str | None:
    known = set(makers)
    for value in _parameters(makers):
        if not {user for user, _ in value.uses()} <= known or value in graph.outputs:
            return value.name
    return None


def _store(graph: ir.Graph, value: ir.Value) -> None:
    makers: dict[ir.Node, None] = {}
    _trace(value, makers)
    parameters = _parameters(list(makers))
    name = joined_name(str(parameter.name) for parameter in parameters)
    array = _computed(value, list(makers))
    stored = ir.Value(name=name, shape=ir.Shape(array.shape), const_value=ir.tensor(array, name=name))
    stored.dtype = ir.DataType.from_numpy(array.dtype)
    stored.metadata_props.update(parameters[0].metadata_props)
    value.replace_all_uses_with(stored)
    # Of one direction there is one weight, which keeps its name; what made it of that is dropped as unused.
    graph.initializers.pop(name, None)
    graph.register_initializer(stored)


def _computed(value: ir.Value, makers: list[ir.Node]) -> NDArray[Any]:
    known: dict[str, NDArray[Any]] = {}
    for node in makers:
        feeds = {
            str(source.name): source.const_value.numpy() if source.const_value else known[str(source.name)]
            for source in node.inputs
            if source is not None
        }
        outputs = ReferenceEvaluator(ir.to_proto(node)).run(None, feeds)
        known |= {str(out.name): array for out, array in zip(node.outputs, outputs, strict=True)}
    return known[str(value.name)]
