"""Products of complex matrices and vectors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch

from onnx_demucs_compiler.rules import Case, ComplexPair, Numerics, decompose
from onnx_demucs_rules.spectral import complex_examples as examples
from onnx_demucs_rules.spectral.complex_parts import bilinear, is_complex, pair, parts, times
from onnx_demucs_rules.spectral.examples import PAIRS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from onnx_demucs_compiler.rules import Site
    from onnx_demucs_rules.spectral.complex_parts import Operand

aten = torch.ops.aten


def _product(site: Site, z: Operand, w: Operand) -> Any:
    return bilinear(site.op, z, w)


def _added(op: Any, added: Operand, z: Operand, w: Operand, **factors: complex) -> ComplexPair:
    """``beta·added + alpha·(z w)``."""
    product = times(bilinear(op, z, w), factors.get("alpha", 1))
    return _sum(times(added, factors.get("beta", 1)), product)


def _vdot(_: Site, z: ComplexPair, w: Operand) -> Any:
    return bilinear(aten.dot.default, ComplexPair(z.real, -z.imag), w)


def _sum(z: Operand, w: Operand) -> ComplexPair:
    (a, b), (c, d) = parts(z), parts(w)
    return pair(a + c, b if d is None else d if b is None else b + d)


def _einsum(_: Site, equation: str, operands: Sequence[Operand], **__: Any) -> Any:
    """The sum over parts of operands, each imaginary one times i."""
    sums: list[Any] = [None, None]
    for chosen in itertools.product(*(_counted(operand) for operand in operands)):
        power = sum(turns for turns, _ in chosen) % 4
        term = torch.einsum(equation, *(part for _, part in chosen))
        term = -term if power > 1 else term
        before = sums[power % 2]
        sums[power % 2] = term if before is None else before + term
    return ComplexPair(*sums)


def _counted(operand: Operand) -> list[tuple[int, Tensor]]:
    return [(turns, part) for turns, part in enumerate(parts(operand)) if part is not None]


LOWERINGS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(
        (aten.matmul.default, aten.mm.default, aten.bmm.default, aten.mv.default, aten.dot.default), _product
    ),
    aten.vdot.default: _vdot,
    aten.addmm.default: lambda _, *args, **named: _added(aten.mm.default, *args, **named),
    aten.addmv.default: lambda _, *args, **named: _added(aten.mv.default, *args, **named),
    aten.baddbmm.default: lambda _, *args, **named: _added(aten.bmm.default, *args, **named),
    aten.einsum.default: _einsum,
}


@decompose(
    *LOWERINGS,
    name="complex-products",
    why="ONNX has no complex dtype: a product of complex matrices is four of real ones, or two where one "
    "factor is real.",
    numerics=Numerics(min_snr_db=125),
    tags={"spectral"},
    after=["complex-as-real-pairs"],
    cases=[
        Case("products", examples.Products, ((2, 4, 3, 2), (2, 3, 5, 2)), fires=15, beside=PAIRS,
             needed=True),
        Case("layers", examples.ComplexLayers, ((2, 3, 8, 2),), fires=2, beside=PAIRS, needed=True),
        Case("nothing-complex", lambda: torch.nn.Linear(3, 4), ((2, 3),), fires=0),
    ],
)  # fmt: skip
def complex_products(site: Site, *args: Any, **kwargs: Any) -> Any:
    """``(a + bi) (c + di)`` → ``(ac - bd) + (ad + bc)i``, products of real matrices."""
    return LOWERINGS[site.op](site, *args, **kwargs) if is_complex(site, args) else NotImplemented
