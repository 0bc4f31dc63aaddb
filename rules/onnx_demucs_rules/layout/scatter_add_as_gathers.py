"""Adding rows up at known places by taking them from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from onnx_demucs_compiler.rules import Case, ComplexPair, Numerics, Refusal, decompose
from onnx_demucs_rules.layout.examples import AddedAtPlaces

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten

# Each place takes a pass over the result for each row that it adds up.
MOST_ROWS = 4

SHAPE = ((2, 7, 5),)


@decompose(
    aten.scatter_add.default,
    name="scatter-add-as-gathers",
    why="Mel-Band RoFormers add up the masks of bands that overlap by ScatterElements, which ONNX Runtime "
    "computes number by number: 12 times as long as taking the two or three rows of each bin and adding "
    "these (benchmarks/forms_in_ort.py).",
    numerics=Numerics(min_snr_db=130),
    tags={"layout", "speed"},
    cases=[
        Case("overlapping", AddedAtPlaces, SHAPE, ops={"ScatterElements": 0, "Gather": 3}),
        Case("onto-something", lambda: AddedAtPlaces(onto=1.5), SHAPE, ops={"ScatterElements": 0}),
        Case("last-axis", lambda: AddedAtPlaces(dim=2, places=(0, 3, 1, 0, 2)), SHAPE,
             ops={"ScatterElements": 0}),
        Case("complex", lambda: AddedAtPlaces(complex_values=True), SHAPE, beside=("complex-as-real-pairs",),
             ops={"ScatterElements": 0}),
        Case("all-in-one-place", lambda: AddedAtPlaces(places=(0,) * 7), SHAPE, fires=0,
             because="7 rows in one place"),
        Case("other-places-in-each-row", lambda: AddedAtPlaces(rolled=True), SHAPE, fires=0,
             because="differ along another axis"),
        Case("places-of-the-input", lambda: AddedAtPlaces(places=None), SHAPE, fires=0,
             because="depend on the input"),
    ],
)  # fmt: skip
def scatter_add_as_gathers(
    site: Site, x: Tensor | ComplexPair, dim: int, index: Tensor, source: Tensor | ComplexPair
) -> Any:
    """``x.scatter_add(d, i, s)`` → ``x + s[i₁] + s[i₂] + …``, the rows that each place adds up."""
    dim %= index.ndim
    places = _places(site.static.get("index"), dim)
    if isinstance(places, Refusal):
        return places
    most = int(np.bincount(places).max())
    if most > MOST_ROWS:
        return Refusal(f"it adds up {most} rows in one place")
    taken = _taken(places, x.shape[dim], most)
    if isinstance(x, ComplexPair) and isinstance(source, ComplexPair):
        real, imag = _added(x.real, source.real, dim, taken), _added(x.imag, source.imag, dim, taken)
        return ComplexPair(real, imag)
    if isinstance(x, ComplexPair) or isinstance(source, ComplexPair):
        return NotImplemented
    return _added(x, source, dim, taken)


def _places(index: NDArray[Any] | None, dim: int) -> NDArray[Any] | Refusal:
    """The place of each row of the source."""
    if index is None:
        return Refusal("the places depend on the input")
    rows = np.moveaxis(index, dim, 0).reshape(index.shape[dim], -1)
    if (rows != rows[:, :1]).any():
        return Refusal("the places differ along another axis")
    first: NDArray[Any] = rows[:, 0]
    return first


def _taken(places: NDArray[Any], size: int, most: int) -> NDArray[Any]:
    """Rows by place, ``[most, size]``, filled up with the row of zeros."""
    taken = np.full((most, size), len(places))
    filled = np.zeros(size, int)
    for row, place in enumerate(places):
        taken[filled[place], place] = row
        filled[place] += 1
    return taken


def _added(x: Tensor, source: Tensor, dim: int, taken: NDArray[Any]) -> Tensor:
    rows = F.pad(source, [0, 0] * (source.ndim - 1 - dim) + [0, 1])
    for each in taken:
        x = x + rows.index_select(dim, torch.from_numpy(each))
    return x
