"""The discrete Fourier transform of windowed frames as real matrix products.

Notation, used by every rule in this folder: ``N`` is ``n_fft``, ``T`` the number of frames, ``B`` the
batch, ``c`` the real and imaginary part. Tables are computed in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Table = NDArray[np.float64]


def as_constant(table: Table, like: torch.Tensor) -> torch.Tensor:
    """A table rounded to the dtype that the graph computes in."""
    # Rounded in NumPy: a cast of a tensor would be traced, and the graph would hold both.
    precision = np.float64 if like.dtype == torch.float64 else np.float32
    return torch.from_numpy(np.ascontiguousarray(table, dtype=precision))


@dataclass(frozen=True)
class Factorisation:
    """A mixed-radix split of the DFT, ``N = n1 · n2`` (Cooley and Tukey 1965).

    With ``n = n2·i + j`` and ``k = p + n1·q`` the transform is two products: over ``i`` for every
    ``j`` (:func:`inner`, with window and twiddle factors folded in), then over ``j`` (:meth:`outer`).

    Attributes:
        n1: length of the inner transforms, which run over ``i`` and give ``p``.
        n2: length of the outer transform, which runs over ``j`` and gives ``q``.
    """

    n1: int
    n2: int

    @property
    def n_fft(self) -> int:
        """The length of the whole transform."""
        return self.n1 * self.n2

    def rows(self, bins: int) -> int:
        """The number of ``q`` that cover the first ``bins`` bins."""
        return math.ceil(bins / self.n1)

    def multiplications(self, bins: int) -> int:
        """Real multiplications per frame."""
        return 2 * self.n_fft * self.n1 + 4 * self.n_fft * self.rows(bins)

    def twiddles(self) -> Table:
        """``[n2 (j), 2 (c), n1 (p), 2, 1]``: ``cos``, ``-sin`` and their quarter turns."""
        j, p = np.arange(self.n2), np.arange(self.n1)
        angle = 2 * np.pi / self.n_fft * np.outer(j, p)
        cos, sin = np.cos(angle), np.sin(angle)
        rows = np.stack([np.stack([cos, -sin], axis=-1), np.stack([-sin, -cos], axis=-1)], axis=1)
        return rows[..., None]

    def turns(self) -> Table:
        """``[n1 (p), n1 (i), 2]``: ``cos`` and ``sin`` of ``i·p`` inner steps."""
        i, p = np.arange(self.n1), np.arange(self.n1)
        angle = 2 * np.pi / self.n1 * (np.outer(p, i) % self.n1)
        return np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def outer(self, bins: int) -> Table:
        """``[2·rows (c, q), 2·n2 (j, c)]``: the outer transform in real arithmetic."""
        q, j = np.arange(self.rows(bins)), np.arange(self.n2)
        angle = 2 * np.pi / self.n2 * (np.outer(q, j) % self.n2)
        cos, sin = np.cos(angle), np.sin(angle)
        real = np.stack([cos, sin], axis=-1).reshape(len(q), -1)
        imag = np.stack([-sin, cos], axis=-1).reshape(len(q), -1)
        return np.concatenate([real, imag])


def inner(split: Factorisation, window: Table, like: torch.Tensor) -> torch.Tensor:
    """``[n2 (j), 2·n1 (c, p), n1 (i)]``: windowed inner transforms with twiddle factors.

    The angle of ``(n2·i + j)·p`` steps is that of ``i·p`` inner ones plus that of ``j·p``, and the sum of two
    angles a product of two tables. A runtime multiplies them when it loads the graph, which so holds 0.1 MB
    instead of 2 for ``n_fft`` 4096. The factor that is broadcast stands on the left: OpenCV
    multiplies the wrong matrices where it stands on the right.
    """
    twiddles, turns = as_constant(split.twiddles(), like), as_constant(split.turns(), like)
    table = torch.matmul(turns, twiddles).reshape(split.n2, 2 * split.n1, split.n1)
    return table * as_constant(window.reshape(split.n1, split.n2).T[:, None], like)


@lru_cache
def factorise(n_fft: int, bins: int) -> Factorisation | None:
    """The cheapest factorisation; ``None`` unless it halves the dense arithmetic."""
    splits = [Factorisation(n1, n_fft // n1) for n1 in range(2, n_fft // 2 + 1) if n_fft % n1 == 0]
    best = min(splits, key=lambda split: split.multiplications(bins), default=None)
    if best is None or 2 * best.multiplications(bins) > 2 * n_fft * bins:
        return None
    return best


def why_not_factorised(n_fft: int) -> str:
    """The reason to give where :func:`factorise` returns ``None``."""
    if n_fft > 1 and all(n_fft % divisor for divisor in range(2, math.isqrt(n_fft) + 1)):
        return f"n_fft {n_fft} is prime"
    return f"no factorisation of n_fft {n_fft} halves the arithmetic of the dense transform"


def dense(window: Table, bins: int) -> Table:
    """``[2·bins (c, k), N]``: the windowed DFT as one matrix."""
    n_fft = len(window)
    angle = 2 * np.pi / n_fft * (np.outer(np.arange(bins), np.arange(n_fft)) % n_fft)
    return np.concatenate([np.cos(angle), -np.sin(angle)]) * window
