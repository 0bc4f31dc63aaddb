"""The weights of a recurrent layer as its node takes them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from torch import nn

from onnx_demucs_compiler.graph.weights import joined_name
from onnx_demucs_compiler.rules import Case, NotMine, Numerics, Refusal, graph_pass
from onnx_demucs_rules.recurrent.examples import Recurrence, SharedWeights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from onnx_demucs_compiler.rules import NodeSite

    Computed = dict[ir.Value, list[ir.Node]]


def decide(site: NodeSite) -> Computed | Refusal | NotMine:
    """The weights that are computed, and the nodes that compute them."""
    computed: Computed = {}
    for value in (site.get("W"), site.get("R"), site.get("B")):
        makers: dict[ir.Node, None] = {}
        if not _trace(value, makers):
            return NotMine()
        if value is not None and makers:
            computed[value] = list(makers)
    if shared := _used_elsewhere(list(itertools.chain(*computed.values())), site.graph):
        return Refusal(f"{shared} is used elsewhere too")
    return computed or NotMine()


@graph_pass(
    decide=decide,
    on=("LSTM", "GRU", "RNN"),
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
        Case("nothing-recurrent", lambda: nn.Linear(8, 8), ((2, 8),), fires=0),
    ],
)  # fmt: skip
def recurrent_weights_as_stored(site: NodeSite, computed: Computed) -> None:
    """``LSTM(x, Concat(Slice(w), …), …)`` → ``LSTM(x, W, …)``, ``W`` named ``w+w_reverse``."""
    for value, makers in computed.items():
        _store(site.model.graph, value, makers)


def _trace(value: ir.Value | None, found: dict[ir.Node, None]) -> bool:
    """Collect the nodes behind a value; return whether only initializers feed them."""
    if value is None or value.is_initializer():
        return True
    producer = value.producer()
    if producer is None or not all(_trace(source, found) for source in producer.inputs):
        return False
    found[producer] = None
    return True


def _parameters(makers: Iterable[ir.Node]) -> list[ir.Value]:
    """The tensor inputs of a shaping node: one, or a Concat's."""
    sources = [
        value
        for node in makers
        for value in (node.inputs if node.op_type == "Concat" else node.inputs[:1])
        if value is not None and value.is_initializer()
    ]
    return list(dict.fromkeys(sources))


def _used_elsewhere(makers: Iterable[ir.Node], graph: ir.Graph) -> str | None:
    known = set(makers)
    for value in _parameters(makers):
        if not {user for user, _ in value.uses()} <= known or value in graph.outputs:
            return value.name
    return None


def _store(graph: ir.Graph, value: ir.Value, makers: list[ir.Node]) -> None:
    parameters = _parameters(makers)
    name = joined_name(str(parameter.name) for parameter in parameters)
    array = _computed(value, makers)
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
