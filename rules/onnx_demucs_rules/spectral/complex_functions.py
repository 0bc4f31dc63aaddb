"""Elementary functions, reductions and comparisons of complex tensors."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import torch

from onnx_demucs_compiler.rules import Case, ComplexPair, Numerics, decompose
from onnx_demucs_rules.spectral import complex_examples as examples
from onnx_demucs_rules.spectral.complex_parts import is_complex, pair, parts, times
from onnx_demucs_rules.spectral.examples import PAIRS

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from onnx_demucs_compiler.rules import Site
    from onnx_demucs_rules.spectral.complex_parts import Operand

aten = torch.ops.aten

LARGEST_POWER = 32
"""Up to which a whole power is a product, and exact where the angle is."""


def _exp(z: ComplexPair) -> ComplexPair:
    size = torch.exp(z.real)
    return ComplexPair(size * torch.cos(z.imag), size * torch.sin(z.imag))


def _log(z: Operand) -> ComplexPair:
    a, b = parts(z)
    if isinstance(z, complex):
        return ComplexPair(torch.tensor(math.log(abs(z))), torch.tensor(math.atan2(b, a)))
    if b is None:
        return pair(torch.log(torch.abs(a)), torch.where(a < 0, math.pi, 0.0))
    return ComplexPair(torch.log(_abs(z)), torch.atan2(b, a))


def _abs(z: Any) -> Tensor:
    return torch.sqrt(z.real * z.real + z.imag * z.imag)


def _scaled(z: ComplexPair, factor: Any) -> ComplexPair:
    return ComplexPair(z.real * factor, z.imag * factor)


def _sqrt(z: ComplexPair) -> ComplexPair:
    """The root in the right half plane (Kahan 1987).

    Nothing is lost where ``|z|`` is near ``±a``.
    """
    larger = torch.sqrt((_abs(z) + torch.abs(z.real)) / 2)
    smaller = z.imag / (2 * torch.where(larger == 0, 1.0, larger))
    signed = torch.where(z.imag < 0, -larger, larger)
    right = z.real >= 0
    return ComplexPair(torch.where(right, larger, torch.abs(smaller)), torch.where(right, smaller, signed))


def _reciprocal(z: ComplexPair) -> ComplexPair:
    squared = z.real * z.real + z.imag * z.imag
    return ComplexPair(z.real / squared, -z.imag / squared)


def _sgn(z: ComplexPair) -> ComplexPair:
    size = _abs(z)
    return _scaled(z, torch.where(size == 0, 0.0, 1 / torch.where(size == 0, 1.0, size)))


def _power(z: ComplexPair, exponent: int) -> ComplexPair:
    """A whole power by squaring; 1 for 0."""
    if exponent < 0:
        return _reciprocal(_power(z, -exponent))
    result: ComplexPair | None = None
    while exponent:
        if exponent & 1:
            result = z if result is None else times(result, z)
        exponent >>= 1
        z = times(z, z) if exponent else z
    return result or pair(torch.ones_like(z.real), 0.0)


def _pow(z: Operand, w: Operand) -> ComplexPair:
    """``exp(w·log z)``; products and roots where the exponent is such a number."""
    if isinstance(w, int | float | complex) and isinstance(z, ComplexPair):
        exponent = w.real if isinstance(w, complex) and w.imag == 0 else w
        if exponent in (0.5, -0.5):
            return _sqrt(z) if exponent == 0.5 else _reciprocal(_sqrt(z))
        if not isinstance(exponent, complex) and exponent == int(exponent) and abs(exponent) <= LARGEST_POWER:
            return _power(z, int(exponent))
    if isinstance(z, int | float):
        z = complex(z)
    if isinstance(z, complex):
        return _exp(times(w, complex(math.log(abs(z)), math.atan2(z.imag, z.real))))
    power, size = _exp(times(_log(z), w)), _abs(z) if isinstance(z, ComplexPair) else torch.abs(z)
    return ComplexPair(torch.where(size == 0, 0.0, power.real), torch.where(size == 0, 0.0, power.imag))


def _sin(z: ComplexPair) -> ComplexPair:
    a, b = z.real, z.imag
    return ComplexPair(torch.sin(a) * torch.cosh(b), torch.cos(a) * torch.sinh(b))


def _cos(z: ComplexPair) -> ComplexPair:
    a, b = z.real, z.imag
    return ComplexPair(torch.cos(a) * torch.cosh(b), -torch.sin(a) * torch.sinh(b))


def _sinh(z: ComplexPair) -> ComplexPair:
    a, b = z.real, z.imag
    return ComplexPair(torch.sinh(a) * torch.cos(b), torch.cosh(a) * torch.sin(b))


def _cosh(z: ComplexPair) -> ComplexPair:
    a, b = z.real, z.imag
    return ComplexPair(torch.cosh(a) * torch.cos(b), torch.sinh(a) * torch.sin(b))


def _tanh(z: ComplexPair) -> ComplexPair:
    """By ``exp(-2|a|)``, which does not overflow (Abramowitz and Stegun 4.5.51)."""
    decay = torch.exp(-2 * torch.abs(z.real))
    cos, sin = torch.cos(2 * z.imag), torch.sin(2 * z.imag)
    below = 1 + decay * (2 * cos + decay)
    return ComplexPair(torch.sign(z.real) * (1 - decay * decay) / below, 2 * decay * sin / below)


def _turned(function: Callable[[ComplexPair], ComplexPair], z: ComplexPair) -> ComplexPair:
    """``-i·f(i·z)``."""
    turned = function(ComplexPair(-z.imag, z.real))
    return ComplexPair(turned.imag, -turned.real)


def _sigmoid(z: ComplexPair) -> ComplexPair:
    """``(1 + tanh(z / 2)) / 2``."""
    half = _tanh(_scaled(z, 0.5))
    return ComplexPair(0.5 + 0.5 * half.real, 0.5 * half.imag)


def _expm1(z: ComplexPair) -> ComplexPair:
    """``exp(a)·cos(b) - 1`` without the loss near 0."""
    sin = torch.sin(z.imag / 2)
    return ComplexPair(
        torch.expm1(z.real) * torch.cos(z.imag) - 2 * sin * sin, torch.exp(z.real) * torch.sin(z.imag)
    )


def _log1p(z: ComplexPair) -> ComplexPair:
    """``½·log1p(a·(2 + a) + b²)`` without the loss near 0."""
    size = torch.log1p(z.real * (2 + z.real) + z.imag * z.imag) / 2
    return ComplexPair(size, torch.atan2(z.imag, 1 + z.real))


FUNCTIONS: dict[Any, Callable[[ComplexPair], ComplexPair]] = {
    aten.exp.default: _exp,
    aten.log.default: _log,
    aten.log2.default: lambda z: _scaled(_log(z), 1 / math.log(2)),
    aten.log10.default: lambda z: _scaled(_log(z), 1 / math.log(10)),
    aten.log1p.default: _log1p,
    aten.expm1.default: _expm1,
    aten.sqrt.default: _sqrt,
    aten.rsqrt.default: lambda z: _reciprocal(_sqrt(z)),
    aten.reciprocal.default: _reciprocal,
    aten.sgn.default: _sgn,
    aten.sin.default: _sin,
    aten.cos.default: _cos,
    aten.tan.default: functools.partial(_turned, _tanh),
    aten.sinh.default: _sinh,
    aten.cosh.default: _cosh,
    aten.tanh.default: _tanh,
    aten.sigmoid.default: _sigmoid,
}


def _addcmul(_: Site, z: Operand, first: Operand, second: Operand, *, value: complex = 1) -> ComplexPair:
    return _sum(z, times(times(first, second), value))


def _addcdiv(_: Site, z: Operand, first: Operand, second: Operand, *, value: complex = 1) -> ComplexPair:
    inverse = _reciprocal(second) if isinstance(second, ComplexPair) else 1 / second
    return _sum(z, times(times(first, inverse), value))


def _lerp(_: Site, z: ComplexPair, w: ComplexPair, weight: Operand) -> ComplexPair:
    return _sum(z, times(ComplexPair(w.real - z.real, w.imag - z.imag), weight))


def _sum(z: Operand, w: Operand) -> ComplexPair:
    (a, b), (c, d) = parts(z), parts(w)
    return pair(a + c, b if d is None else d if b is None else b + d)


def _prod(_: Site, z: ComplexPair, dim: int | None = None, keepdim: bool = False, **__: Any) -> ComplexPair:
    """A product of halves, and so on: few steps, few roundings."""
    real, imag = (z.real, z.imag) if dim is not None else (z.real.flatten(), z.imag.flatten())
    axis = 0 if dim is None else dim % z.ndim
    whole = ComplexPair(real, imag)
    while (length := whole.shape[axis]) > 1:
        half = length // 2
        first, second, rest = (
            ComplexPair(whole.real.narrow(axis, start, size), whole.imag.narrow(axis, start, size))
            for start, size in ((0, half), (half, half), (2 * half, length - 2 * half))
        )
        product = times(first, second)
        whole = ComplexPair(
            torch.cat([product.real, rest.real], axis), torch.cat([product.imag, rest.imag], axis)
        )
    if keepdim:
        return whole
    return ComplexPair(whole.real.squeeze(axis), whole.imag.squeeze(axis))


def _var(site: Site, z: ComplexPair, *args: Any, **options: Any) -> Tensor:
    """The sum of the variances of both parts."""
    op = VARIANCES.get(site.op, site.op)
    variance: Tensor = op(z.real, *args, **options) + op(z.imag, *args, **options)
    return variance


def _std(site: Site, z: ComplexPair, *args: Any, **options: Any) -> Tensor:
    return torch.sqrt(_var(site, z, *args, **options))


def _var_mean(site: Site, z: ComplexPair, *args: Any, **options: Any) -> tuple[Tensor, ComplexPair]:
    (first, real), (second, imag) = (site.op(half, *args, **options) for half in (z.real, z.imag))
    return first + second, ComplexPair(real, imag)


VARIANCES = {
    aten.std.default: aten.var.default,
    aten.std.dim: aten.var.dim,
    aten.std.correction: aten.var.correction,
}


def _vector_norm(site: Site, z: ComplexPair, *args: Any, **kwargs: Any) -> Tensor:
    norm: Tensor = site.op(_abs(z), *args, **kwargs)
    return norm


def _in_either(site: Site, z: ComplexPair) -> Tensor:
    found: Tensor = site.op(z.real) | site.op(z.imag)
    return found


def _eq(_: Site, z: Operand, w: Operand) -> Tensor:
    (a, b), (c, d) = parts(z), parts(w)
    real = torch.eq(a, c)
    if b is None and d is None:
        return real
    return real & (torch.eq(d, 0.0) if b is None else torch.eq(b, 0.0 if d is None else d))


LOWERINGS: dict[Any, Callable[..., Any]] = {
    **{op: lambda _, z, function=function: function(z) for op, function in FUNCTIONS.items()},
    **dict.fromkeys(
        (aten.pow.Tensor_Scalar, aten.pow.Tensor_Tensor, aten.pow.Scalar), lambda _, z, w: _pow(z, w)
    ),
    aten.addcmul.default: _addcmul,
    aten.addcdiv.default: _addcdiv,
    **dict.fromkeys((aten.lerp.Scalar, aten.lerp.Tensor), _lerp),
    **dict.fromkeys((aten.prod.default, aten.prod.dim_int), _prod),
    **dict.fromkeys(VARIANCES.values(), _var),
    **dict.fromkeys(VARIANCES, _std),
    aten.var_mean.correction: _var_mean,
    aten.linalg_vector_norm.default: _vector_norm,
    **dict.fromkeys((aten.isnan.default, aten.isinf.default), _in_either),
    **dict.fromkeys((aten.eq.Scalar, aten.eq.Tensor), _eq),
    **dict.fromkeys((aten.ne.Scalar, aten.ne.Tensor), lambda site, z, w: ~_eq(site, z, w)),
}


@decompose(
    *LOWERINGS,
    name="complex-functions",
    why="ONNX has no complex dtype, and functions, moments and norms of complex numbers have formulas of "
    "their own in real ones.",
    numerics=Numerics(min_snr_db=120),
    tags={"spectral"},
    after=["complex-as-real-pairs"],
    cases=[
        Case("functions", examples.Functions, ((2, 8, 2),), fires=34, beside=PAIRS, needed=True),
        Case("at-zero", examples.AtZero, ((2, 8, 2),), fires=5, beside=PAIRS, needed=True),
        Case("reductions", examples.Reductions, ((2, 3, 8, 2),), fires=13, beside=PAIRS, needed=True),
        Case("comparisons", examples.Comparisons, ((2, 8, 2),), fires=7, beside=PAIRS, needed=True),
        Case("nothing-complex", examples.AllReal, ((2, 8, 2),), fires=0),
    ],
)  # fmt: skip
def complex_functions(site: Site, *args: Any, **kwargs: Any) -> Any:
    """``f(a + bi)`` → the real and the imaginary part of it, by formulas in ``a`` and ``b``."""
    return LOWERINGS[site.op](site, *args, **kwargs) if is_complex(site, args) else NotImplemented
