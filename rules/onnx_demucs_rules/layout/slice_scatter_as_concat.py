"""Writing into a slice by joining what lies around it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, ComplexPair, Refusal, decompose
from onnx_demucs_rules.layout.examples import AddedToSlice

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten

END = sys.maxsize
"""How ATen says "to the end"."""


@decompose(
    aten.slice_scatter.default,
    name="slice-scatter-as-concat",
    why="torch.onnx writes into a slice by ScatterND, with an index for every row, which WebGPU cannot run; "
    "demucs adds up the edges of its frequency bands that way.",
    numerics=EXACT,
    tags={"layout"},
    cases=[
        Case("at-the-end", lambda: AddedToSlice(slice(-4, None)), ((2, 3, 11, 5),),
             ops={"ScatterND": 0, "Concat": 1}),
        Case("at-the-start", lambda: AddedToSlice(slice(None, 4)), ((2, 3, 11, 5),),
             ops={"ScatterND": 0, "Concat": 1}),
        Case("in-the-middle", lambda: AddedToSlice(slice(3, -2)), ((2, 3, 11, 5),),
             ops={"ScatterND": 0, "Concat": 1}),
        Case("open-batch", lambda: AddedToSlice(slice(-4, None)), ((2, 3, 11, 5),), fires=2,
             ops={"ScatterND": 0}, options={"batch": "dynamic"}),
        Case("every-other", lambda: AddedToSlice(slice(None, None, 2)), ((2, 3, 11, 5),), fires=0,
             because="in steps of 2"),
        Case("nothing-written", lambda: nn.Linear(8, 8), ((2, 8),), fires=0),
    ],
)  # fmt: skip
def slice_scatter_as_concat(
    _: Site,
    x: Tensor | ComplexPair,
    source: Tensor | ComplexPair,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Any:
    """``x[start:end] = source`` → ``cat(x[:start], source, x[end:])``."""
    if isinstance(x, ComplexPair) or isinstance(source, ComplexPair):
        return NotImplemented
    if step != 1:
        return Refusal(f"it writes in steps of {step}")
    size = x.shape[dim]
    first, last = _position(start, size, 0), _position(end, size, size)
    pieces = [source]
    if first > 0:
        pieces.insert(0, x.narrow(dim, 0, first))
    if last < size:
        pieces.append(x.narrow(dim, last, size - last))
    return torch.cat(pieces, dim) if len(pieces) > 1 else source.clone()


def _position(given: int | None, size: int, otherwise: int) -> int:
    if given is None or given == END:
        return otherwise
    return max(given + size, 0) if given < 0 else min(given, size)
