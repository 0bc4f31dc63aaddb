"""The discrete Fourier transform of any length, as real matrix products.

Signals are ``[B, c, N]``: ``c`` is 1 for real numbers, 2 for the real and the imaginary part. ``s`` is -1
forward and 1 back, ``X[k] = Σ_n x[n]·exp(s·2πi·k·n/N)``. Tables are computed in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from onnx_demucs_rules.spectral.dft import as_constant

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

LARGEST_DENSE = 256
"""Beyond it the table of a dense transform weighs more than 1 MB."""

PASS = 400
"""The multiplications of a matrix product in the time of one pass over memory, by number."""


@dataclass(frozen=True)
class Dense:
    """One matrix product.

    Attributes:
        size: the length of the transform.
    """

    size: int

    @property
    def cost(self) -> int:
        """Multiplications, and what takes as long."""
        return 4 * self.size**2

    def __call__(self, x: Tensor, s: int, bins: int, real: bool, scale: float) -> Tensor:
        """As :func:`dft`."""
        parts, given = x.shape[1:]
        angle = 2 * np.pi / self.size * (np.outer(np.arange(given), np.arange(bins)) % self.size)
        cos, sin = scale * np.cos(angle), scale * s * np.sin(angle)
        of_real, of_imag = [cos, sin][: 2 - real], [-sin, cos][: 2 - real]
        table = np.concatenate([np.concatenate(half, axis=1) for half in (of_real, of_imag)[:parts]])
        product = torch.matmul(x.reshape(-1, parts * given), as_constant(table, x))
        return product.reshape(-1, 2 - real, bins)


@dataclass(frozen=True)
class Split:
    """``N = n1·n2``: transforms of both lengths (Cooley and Tukey 1965).

    With ``n = n2·i + j`` and ``k = p + n1·q`` it is a transform over ``i`` for every ``j``, a turn by
    ``s·2π·j·p/N``, and a transform over ``j``.

    Attributes:
        inner: over ``i``, of length ``n1``.
        outer: over ``j``, of length ``n2``.
    """

    inner: Plan
    outer: Plan

    @property
    def size(self) -> int:
        """The length of the transform."""
        return self.inner.size * self.outer.size

    @property
    def cost(self) -> int:
        """Multiplications, and what takes as long."""
        n1, n2 = self.inner.size, self.outer.size
        return n2 * self.inner.cost + n1 * self.outer.cost + PASS * self.size

    def __call__(self, x: Tensor, s: int, bins: int, real: bool, scale: float) -> Tensor:
        """As :func:`dft`."""
        n1, n2 = self.inner.size, self.outer.size
        parts, given = x.shape[1:]
        by_step = F.pad(x, (0, self.size - given)) if given < self.size else x
        columns = by_step.reshape(-1, parts, n1, n2).permute(0, 3, 1, 2).reshape(-1, parts, n1)
        turned = _times(self.inner(columns, s, n1, False, 1.0).reshape(-1, n2, 2, n1), self._turns(s))
        rows = turned.permute(0, 3, 2, 1).reshape(-1, 2, n2)
        wanted = -(-bins // n1)
        spectrum = self.outer(rows, s, wanted, real, scale).reshape(-1, n1, 2 - real, wanted)
        return spectrum.permute(0, 2, 3, 1).reshape(-1, 2 - real, wanted * n1)[..., :bins]

    def _turns(self, s: int) -> NDArray[np.complex128]:
        """``[n2 (j), n1 (p)]``."""
        steps = np.outer(np.arange(self.outer.size), np.arange(self.inner.size))
        turns: NDArray[np.complex128] = np.exp(2j * np.pi * s / self.size * steps)
        return turns


@dataclass(frozen=True)
class Chirp:
    """A transform of prime length as a convolution (Bluestein 1970).

    Since ``2kn = k² + n² - (k - n)²``, ``X[k] = c[k]·Σ_n (x[n]·c[n])·conj(c[k - n])``, with
    ``c[n] = exp(s·πi·n²/N)``.

    Attributes:
        size: the length of the transform.
        longer: the transform that the convolution is done with, of ``2·N - 1`` or more.
    """

    size: int
    longer: Plan

    @property
    def cost(self) -> int:
        """Multiplications, and what takes as long."""
        return 2 * self.longer.cost + 3 * PASS * self.longer.size

    def __call__(self, x: Tensor, s: int, bins: int, real: bool, scale: float) -> Tensor:
        """As :func:`dft`."""
        given, length = x.shape[-1], self.longer.size
        chirp = np.exp(1j * np.pi * s / self.size * (np.arange(self.size) ** 2 % (2 * self.size)))
        kernel = np.zeros(length, dtype=complex)
        kernel[: self.size] = chirp.conj()
        kernel[length - self.size + 1 :] = chirp[:0:-1].conj()
        spectrum = self.longer(_times(x, chirp[:given]), -1, length, False, 1.0)
        product = _times(spectrum, np.fft.fft(kernel) * scale / length)
        convolved = self.longer(product, 1, bins, False, 1.0)
        return _times(convolved, chirp[:bins])[:, : 2 - real]


Plan = Dense | Split | Chirp


@lru_cache
def plan(size: int) -> Plan:
    """The cheapest way to transform so many numbers."""
    ways: list[Plan] = [Dense(size)] if size <= LARGEST_DENSE else []
    divisors = [n1 for n1 in range(2, math.isqrt(size) + 1) if size % n1 == 0]
    ways += [Split(plan(n1), plan(size // n1)) for n1 in divisors]
    if not ways:
        return Chirp(size, plan(_smooth(2 * size - 1)))
    return min(ways, key=lambda way: way.cost)


def _smooth(least: int) -> int:
    """The first number from ``least`` on without prime factors beyond 5."""
    size = least
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1


def _times(x: Tensor, factors: NDArray[np.complex128]) -> Tensor:
    """The product of ``[…, c, n]`` and complex constants ``[…, n]``: ``[…, 2, n]``."""
    if x.shape[-2] == 1:
        return x * as_constant(np.stack([factors.real, factors.imag], axis=-2), x)
    real, imag = as_constant(factors.real[..., None, :], x), np.stack([-factors.imag, factors.imag], axis=-2)
    swapped = torch.cat([x[..., 1:, :], x[..., :1, :]], dim=-2)
    return x * real + swapped * as_constant(imag, x)


def dft(x: Tensor, size: int, s: int, bins: int, *, real: bool = False, scale: float = 1.0) -> Tensor:
    """The discrete Fourier transform along the last axis.

    Args:
        x: ``[B, c, n]``; of fewer than ``size`` numbers, the rest counts as 0.
        size: ``N``, the length of the transform.
        s: -1 forward, 1 back.
        bins: how many of the results to give, from the first.
        real: give their real part alone.
        scale: factor of the results.

    Returns:
        ``[B, 2, bins]``, or ``[B, 1, bins]`` of real parts.
    """
    return plan(size)(x, s, bins, real, scale)
