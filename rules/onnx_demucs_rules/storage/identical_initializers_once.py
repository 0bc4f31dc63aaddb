"""Identical constants stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_ir.passes import common as passes
from torch import nn

from onnx_demucs_compiler.rule import EXACT, Case, Refusal, graph_pass
from onnx_demucs_rules.storage.examples import SameTwice

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.options import Options


@graph_pass(
    name="identical-initializers-once",
    why="STFT and its inverse multiply by the same tables, which each of the two rules emits.",
    numerics=EXACT,
    tags={"storage"},
    cases=[
        Case("same-table-twice", SameTwice, ((2, 64),), fires=1),
        Case("nothing-alike", lambda: nn.Linear(64, 64), ((2, 64),), fires=0, because="no two initializers"),
    ],
)  # fmt: skip
def identical_initializers_once(model: ir.Model, _: Options) -> int | Refusal:
    """Initializers of equal type, shape and bytes → the first of them."""
    before = len(model.graph.initializers)
    passes.DeduplicateHashedInitializersPass()(model)
    removed = before - len(model.graph.initializers)
    return removed or Refusal("no two initializers are identical")
