"""Products of weights, computed when the model is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes import common as passes

from onnx_demucs_compiler.graph.storage import FOLDED, STORED
from onnx_demucs_compiler.graph.weights import is_weight
from onnx_demucs_compiler.rules import Case, GraphCase, Numerics, graph_pass
from onnx_demucs_rules.storage.examples import ALIKE, ScaledConvolution

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnx_demucs_compiler.options import Options

FOLD = {"fold_weights": True}


@graph_pass(
    name="fold-weights",
    why="A norm, a gate or a layer scale that became part of a convolution leaves a product of weights that "
    "a runtime computes when it loads the model. Quantisers and converters want initializers.",
    numerics=Numerics(min_snr_db=125),
    tags={"storage"},
    after=["dedupe-initializers", "projection-by-heads", "scale-into-product"],
    cases=[
        Case("scaled-kernel", ScaledConvolution, ((2, 3, 20),), options=FOLD, ops={"Mul": 0, "Conv": 1}),
        Case("not-asked-for", ScaledConvolution, ((2, 3, 20),), fires=0, ops={"Mul": 1}),
        GraphCase("no-weights", ALIKE, options=FOLD, fires=0),
    ],
)  # fmt: skip
def fold_weights(model: ir.Model, options: Options) -> list[ir.Node]:
    """``Conv(x, Mul(w, s))`` → ``Conv(x, ws)``, where ``--fold-weights`` asks for it."""
    fired = []
    for node in model.graph if options.fold_weights else ():
        if _takes_weights_alone(node):
            _store_results(node, model)
            fired.append(node)
    passes.RemoveUnusedNodesPass()(model)
    return fired


def _takes_weights_alone(node: ir.Node) -> bool:
    """True if a node takes weights, and nothing that is computed."""
    inputs = [value for value in node.inputs if value is not None]
    return any(map(_is_of_weights, inputs)) and all(value.const_value is not None for value in inputs)


def _store_results(node: ir.Node, model: ir.Model) -> None:
    for output, array in zip(node.outputs, _results(node, model), strict=True):
        stored = ir.Value(name=output.name, shape=output.shape, type=output.type)
        stored.const_value = ir.tensor(array, name=output.name)
        stored.metadata_props[STORED] = FOLDED
        output.replace_all_uses_with(stored, replace_graph_outputs=True)
        output.name = None
        model.graph.register_initializer(stored)


def _is_of_weights(value: ir.Value) -> bool:
    return is_weight(value) or value.metadata_props.get(STORED) == FOLDED


def _results(node: ir.Node, model: ir.Model) -> list[NDArray[Any]]:
    known = {
        str(value.name): value.const_value.numpy()
        for value in node.inputs
        if value is not None and value.const_value is not None
    }
    evaluator: Any = ReferenceEvaluator(ir.to_proto(node), opsets=dict(model.opset_imports))
    results: list[NDArray[Any]] = evaluator.run(None, known)
    return results
