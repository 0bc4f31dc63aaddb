"""Identical constants stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_ir.passes import common as passes

from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, graph_pass
from onnx_demucs_rules.storage.examples import ALIKE, SameTwice

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.options import Options


@graph_pass(
    name="dedupe-initializers",
    why="STFT and its inverse multiply by the same tables, which each of the two rules emits; and "
    "select-stems adds indices that the graph may hold already.",
    numerics=EXACT,
    tags={"storage"},
    after=["select-stems", "engines"],
    cases=[
        Case("same-table-twice", SameTwice, ((2, 64),), fires=1),
        GraphCase("two-of-three", ALIKE),
        GraphCase("alike-but-for-the-shape", ALIKE.replace("float[3] same", "float[1, 3] same"), fires=0),
    ],
)  # fmt: skip
def dedupe_initializers(model: ir.Model, _: Options) -> list[ir.Value]:
    """Initializers of equal type, shape and bytes → the first of them."""
    before = dict(model.graph.initializers)
    passes.DeduplicateHashedInitializersPass()(model)
    return [value for name, value in before.items() if name not in model.graph.initializers]
