"""The window envelope that an inverse STFT divides by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.fx.experimental.symbolic_shapes import statically_known_true

from onnx_demucs_compiler.rules import Refusal
from onnx_demucs_rules.spectral.dft import as_constant

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from onnx_demucs_rules.spectral.transform import Transform

# What ATen demands of the envelope before it divides by it.
SMALLEST = 1e-11


@dataclass(frozen=True)
class Kept:
    """The samples of the overlap-added signal that an inverse STFT returns.

    Attributes:
        start: first sample kept.
        stop: end of what exists and is kept.
        padding: zeros that follow, where a longer ``length`` was asked for.
    """

    start: int
    stop: int
    padding: int


def kept_samples(transform: Transform, count: int, center: bool, length: int | None) -> Kept | Refusal:
    """The samples ATen returns for ``count`` frames, perhaps a symbol."""
    total = transform.n_fft + transform.hop * (count - 1)
    start = transform.n_fft // 2 if center else 0
    if length is None:
        return Kept(start, total - start, 0)
    if not isinstance(count, int):
        if not statically_known_true(start + length <= total):
            return Refusal("the number of frames is open, and the length asked for may lie beyond them")
        return Kept(start, start + length, 0)
    stop = min(start + length, total)
    return Kept(start, stop, start + length - stop)


def envelope(transform: Transform, count: int) -> NDArray[np.float64]:
    """``Σ_t window²[n - hop·t]`` over ``count`` frames: ``[n_fft + hop·(count - 1)]``."""
    summed = np.zeros(transform.n_fft + transform.hop * (count - 1))
    for frame in range(count):
        summed[frame * transform.hop :][: transform.n_fft] += transform.window**2
    return summed


def divide(summed: Tensor, transform: Transform, count: int, kept: Kept) -> Tensor | Refusal:
    """Divide overlap-added frames by their envelope and keep what ATen keeps.

    Away from the ends the envelope repeats with every hop, so that one hop of it is stored and expanded.

    Args:
        summed: ``[B, n_fft + hop·(count - 1)]``.
        transform: window, hop and length of the transform.
        count: number of frames.
        kept: from :func:`kept_samples`.

    Returns:
        ``[B, kept samples and padding]``, or why the envelope cannot be divided by.
    """
    edge = math.ceil(transform.n_fft / transform.hop)
    if not isinstance(count, int):
        return _divide_open(summed, transform, count, kept, edge)
    whole = envelope(transform, count)
    if np.abs(whole[kept.start : kept.stop]).min() <= SMALLEST:
        return Refusal("the window envelope vanishes inside the signal")
    inverse = np.divide(1.0, whole, out=np.zeros_like(whole), where=np.abs(whole) > SMALLEST)
    signal = summed * _compact(inverse, transform.hop, edge, summed)
    signal = signal[:, kept.start : kept.stop]
    return torch.nn.functional.pad(signal, (0, kept.padding)) if kept.padding else signal


def _divide_open(summed: Tensor, transform: Transform, count: int, kept: Kept, edge: int) -> Tensor | Refusal:
    """Division for a symbolic number of frames.

    Both ends are constants, the middle repeats.
    """
    hop = transform.hop
    if transform.n_fft % hop:
        return Refusal(f"the number of frames is open and hop {hop} does not divide n_fft {transform.n_fft}")
    whole = envelope(transform, 2 * edge + 1)
    after = int(transform.n_fft + hop * (count - 1) - kept.stop)
    if np.abs(whole[kept.start : len(whole) - after]).min() <= SMALLEST:
        return Refusal("the window envelope vanishes inside the signal")
    inverse = np.divide(1.0, whole, out=np.zeros_like(whole), where=np.abs(whole) > SMALLEST)
    ends = edge * hop
    repeated = as_constant(inverse[ends : ends + hop], summed).expand(count - 1 - edge, hop).reshape(-1)
    factors = [as_constant(inverse[:ends], summed), repeated, as_constant(inverse[-ends:], summed)]
    return (summed * torch.cat(factors))[:, kept.start : kept.stop]


def _compact(values: NDArray[np.float64], hop: int, edge: int, like: Tensor) -> Tensor:
    hops = len(values) // hop
    if hops <= 2 * edge + 1:
        return as_constant(values, like)
    first, last = edge * hop, (hops - edge) * hop
    repeated = as_constant(values[first : first + hop], like).expand(hops - 2 * edge, hop).reshape(-1)
    return torch.cat([as_constant(values[:first], like), repeated, as_constant(values[last:], like)])
