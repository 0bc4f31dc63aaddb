"""Sums over products of two tensors as matrix products."""

from __future__ import annotations

import math
import string
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from onnx_demucs_compiler.rules import Case, ComplexPair, Numerics, Refusal, decompose
from onnx_demucs_rules.products.examples import Einsum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten

ELLIPSIS = "..."

SCORES = ((2, 4, 9, 8), (2, 4, 7, 8))


class Labels(NamedTuple):
    """The labels of two operands and a result, by where they occur."""

    batch: str
    left: str
    right: str
    summed: str


@decompose(
    aten.einsum.default,
    name="einsum-as-matmul",
    why="ONNX Runtime's Einsum copies its operands into the order of a product, and no rule for attention "
    "or products sees it: 1.4 and 2.6 times the time of a MatMul (benchmarks/forms_in_ort.py).",
    numerics=Numerics(min_snr_db=125),
    tags={"products", "speed"},
    after=["complex-as-real-pairs"],
    cases=[
        Case("scores", lambda: Einsum("b h i d, b h j d -> b h i j"), SCORES, ops={"Einsum": 0, "MatMul": 1}),
        Case("values", lambda: Einsum("bhij,bhjd->bhid"), ((2, 4, 9, 7), (2, 4, 7, 8)),
             ops={"Einsum": 0, "MatMul": 1, "Transpose": 0}),
        Case("groups", lambda: Einsum("btgi,gih->btgh"), ((2, 5, 3, 4), (3, 4, 6)), ops={"Einsum": 0}),
        Case("several-summed", lambda: Einsum("bcft,cfk->btk"), ((2, 3, 4, 5), (3, 4, 6)),
             ops={"Einsum": 0, "MatMul": 1}),
        Case("outer", lambda: Einsum("bi,bj->bij"), ((2, 3), (2, 5)), ops={"Einsum": 0}),
        Case("inner", lambda: Einsum("bci,bci->bc"), ((2, 3, 5), (2, 3, 5)), ops={"Einsum": 0}),
        Case("result-not-written", lambda: Einsum("bij,bjk"), ((2, 3, 5), (2, 5, 4)), ops={"Einsum": 0}),
        Case("open-batch", lambda: Einsum("b h i d, b h j d -> b h i j"), SCORES, ops={"Einsum": 0},
             options={"batch": "dynamic"}),
        Case("complex", lambda: Einsum("bij,bjk->bik", complex_values=True), ((2, 3, 5, 2), (2, 5, 4, 2)),
             fires=0, beside=("complex-as-real-pairs", "complex-products")),
        Case("three", lambda: Einsum("bi,bj,bk->bijk"), ((2, 3), (2, 4), (2, 5)), fires=0,
             because="3 operands"),
        Case("diagonal", lambda: Einsum("bii,bij->bj"), ((2, 3, 3), (2, 3, 5)), fires=0, because="twice"),
        Case("summed-in-one", lambda: Einsum("bij,bk->bk"), ((2, 3, 5), (2, 4)), fires=0,
             because="of one operand alone"),
        Case("ellipsis", lambda: Einsum("a...bc,a...bde->a...edc"), ((2, 3, 5, 4), (2, 3, 5, 2, 6)),
             ops={"Einsum": 0}),
        Case("ellipsis-of-one", lambda: Einsum("...a,bac->b...c"), ((2, 3, 5), (4, 5, 6)), ops={"Einsum": 0}),
        Case("ellipsis-not-written", lambda: Einsum("...ij,...jk"), ((2, 3, 5), (2, 5, 4)),
             ops={"Einsum": 0}),
        Case("repeated-along-an-axis", lambda: Einsum("bij,bjk->bik"), ((2, 3, 5), (1, 5, 4)), fires=0,
             because="sizes"),
    ],
)  # fmt: skip
def einsum_as_matmul(_: Site, equation: str, operands: Sequence[Tensor | ComplexPair], **__: Any) -> Any:
    """``einsum("bhid,bhjd->bhij", q, k)`` → ``q @ k.mT``, with what axes must be moved and joined."""
    real = [operand for operand in operands if not isinstance(operand, ComplexPair)]
    if len(real) < len(operands):
        return NotImplemented
    if len(real) != 2:
        return Refusal(f"it has {len(real)} operands")
    (first, second), result = _terms(equation, [operand.ndim for operand in real])
    labels = _sorted(first, second, result)
    if isinstance(labels, Refusal):
        return labels
    x, y = real
    sizes = dict(zip(first, x.shape, strict=True))
    other = dict(zip(second, y.shape, strict=True))
    if any(sizes[label] != other[label] for label in labels.batch + labels.summed):
        return Refusal("two axes of one name have different sizes")
    sizes |= other
    product = _matrices(x, first, labels.batch, labels.left, labels.summed) @ _matrices(
        y, second, labels.batch, labels.summed, labels.right
    )
    found = labels.batch + labels.left + labels.right
    shaped = product.reshape([sizes[label] for label in found])
    order = [found.index(label) for label in result]
    return shaped if order == sorted(order) else shaped.permute(order)


def _terms(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The labels of operands and result, with new ones for an ellipsis.

    A result that is not written has the axes of an ellipsis, and those that occur once.
    """
    given, arrow, result = equation.replace(" ", "").partition("->")
    terms = given.split(",")
    unused = [letter for letter in string.ascii_letters if letter not in equation]
    hidden = [rank - len(term) + len(ELLIPSIS) if ELLIPSIS in term else 0
              for term, rank in zip(terms, ranks, strict=True)]  # fmt: skip
    most = "".join(unused[: max(hidden)])
    named = [term.replace(ELLIPSIS, most[len(most) - count :])
             for term, count in zip(terms, hidden, strict=True)]  # fmt: skip
    if arrow:
        return named, result.replace(ELLIPSIS, most)
    once = sorted(label for label in set(given) - set(",.") if given.count(label) == 1)
    return named, most + "".join(once)


def _sorted(first: str, second: str, result: str) -> Labels | Refusal:
    for term in (first, second):
        if len(set(term)) < len(term):
            return Refusal(f"{term} has an axis twice")
    summed = "".join(label for label in first if label not in result)
    if set(summed) != set(first + second) - set(result) or not set(summed) <= set(second):
        return Refusal("it sums over an axis of one operand alone")
    kept = [label for label in result if label in first]
    return Labels(
        batch="".join(label for label in kept if label in second),
        left="".join(label for label in kept if label not in second),
        right="".join(label for label in result if label not in first),
        summed=summed,
    )


def _matrices(x: Tensor, labels: str, batch: str, rows: str, columns: str) -> Tensor:
    """A tensor as matrices, one for each place of the batch."""
    order = [labels.index(label) for label in batch + rows + columns]
    moved = x if order == sorted(order) else x.permute(order)
    sizes, start = moved.shape, len(batch)
    split = start + len(rows)
    if len(rows) == 1 and len(columns) == 1:
        return moved
    return moved.reshape([*sizes[:start], math.prod(sizes[start:split]), math.prod(sizes[split:])])
