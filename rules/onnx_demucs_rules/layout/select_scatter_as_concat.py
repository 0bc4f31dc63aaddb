"""Writing into one place by joining what lies around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, ComplexPair, decompose
from onnx_demucs_rules.layout.examples import Written

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import Node

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten

SHAPE = ((2, 3, 5),)


@decompose(
    aten.select_scatter.default,
    name="select-scatter-as-concat",
    why="torch.onnx writes into a place of an axis by ScatterElements, with an index for every number: "
    "Open-Unmix collects its sources so, over 20 times the time of a Concat (benchmarks/forms_in_ort.py).",
    numerics=EXACT,
    tags={"layout", "speed"},
    cases=[
        Case("all-places", lambda: Written((0, 1, 2)), SHAPE, fires=3,
             ops={"ScatterElements": 0, "Concat": 1}),
        Case("one-place", lambda: Written((1,)), SHAPE, ops={"ScatterElements": 0, "Concat": 1}),
        Case("twice", lambda: Written((2, 0, 1, -1)), SHAPE, fires=4, ops={"ScatterElements": 0}),
        Case("only-place", lambda: Written((0,), places=1), SHAPE, ops={"ScatterElements": 0, "Concat": 0}),
        Case("open-batch", lambda: Written((0, 2)), SHAPE, fires=2, ops={"ScatterElements": 0},
             options={"batch": "dynamic"}),
        Case("complex", lambda: Written((0,), complex_values=True), SHAPE, beside=("complex-as-real-pairs",),
             ops={"ScatterElements": 0}),
        Case("nothing-written", lambda: nn.Linear(5, 5), ((2, 5),), fires=0),
    ],
)  # fmt: skip
def select_scatter_as_concat(
    site: Site, x: Tensor | ComplexPair, source: Tensor | ComplexPair, dim: int, index: int
) -> Any:
    """``x[i] = source`` → ``cat(x[:i], source, x[i+1:])``; a ``stack`` where all places are written."""
    if isinstance(x, ComplexPair) and isinstance(source, ComplexPair):
        real, imag = _joined(x.real, source.real, dim, index), _joined(x.imag, source.imag, dim, index)
        return ComplexPair(real, imag)
    if isinstance(x, ComplexPair) or isinstance(source, ComplexPair):
        return NotImplemented
    size = x.shape[dim]
    written = _written(site.node, dim, size) if isinstance(size, int) else {}
    if len(written) == size:
        return torch.stack([site.lowered(written[place]) for place in range(size)], dim)
    return _joined(x, source, dim, index)


def _joined(x: Tensor, source: Tensor, dim: int, index: int) -> Tensor:
    size = x.shape[dim]
    place = index % size
    pieces = [x.narrow(dim, 0, place), source.unsqueeze(dim), x.narrow(dim, place + 1, size - place - 1)]
    return torch.cat(pieces, dim)


def _written(node: Any, dim: int, size: int) -> dict[int, Node]:
    """The last values written into each place by writes in a row."""
    found: dict[int, Node] = {}
    while node.target is aten.select_scatter.default and node.args[2] == dim:
        found.setdefault(node.args[3] % size, node.args[1])
        node = node.args[0]
    return found
