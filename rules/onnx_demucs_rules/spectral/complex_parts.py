"""Arithmetic on complex values as two real ones."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
import torch.utils._pytree as pytree

from onnx_demucs_compiler.rules import ComplexPair

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

    Operand = ComplexPair | Tensor | complex


def is_complex(site: Site, args: Any) -> bool:
    """True if an operator takes or gives a complex value."""
    result = site.result
    if isinstance(result, torch.Tensor) and result.is_complex():
        return True
    return any(isinstance(leaf, ComplexPair) for leaf in pytree.tree_leaves(args))


def parts(value: Any) -> tuple[Any, Any]:
    """Real and imaginary part; ``None`` for the latter of a real tensor."""
    if isinstance(value, ComplexPair | complex):
        return value.real, value.imag
    return value, None


def pair(real: Tensor, imag: Any) -> ComplexPair:
    """Both halves in one shape, where broadcasting has reached only one."""
    if not isinstance(imag, torch.Tensor):
        imag = torch.full_like(real, imag or 0.0)
    return ComplexPair(*torch.broadcast_tensors(real, imag))


def times(z: Operand, w: Operand) -> Any:
    """``(a + bi)(c + di) = (ac - bd) + (ad + bc)i``, skipping missing parts."""
    return bilinear(operator.mul, z, w)


def bilinear(product: Callable[[Any, Any], Any], z: Operand, w: Operand) -> Any:
    """A product of two operands by that of their parts."""
    a, b = parts(z)
    c, d = parts(w)
    if b is None and d is None:
        return product(a, c)
    if d is None:
        return ComplexPair(product(a, c), product(b, c))
    if b is None:
        return ComplexPair(product(a, c), product(a, d))
    return ComplexPair(product(a, c) - product(b, d), product(a, d) + product(b, c))
