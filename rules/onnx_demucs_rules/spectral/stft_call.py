"""Calls of ``aten.stft`` and ``aten.istft``: everything about them but the arithmetic.

A rule gives the arithmetic, for a batch and a concrete window; these wrappers make a lowering of it that
takes the operator's arguments and resolves them the way ATen does.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from onnx_demucs_compiler.rules import ComplexPair, Halves, Refusal
from onnx_demucs_rules.spectral.dft import as_constant
from onnx_demucs_rules.spectral.envelope import divide, kept_samples
from onnx_demucs_rules.spectral.transform import Transform
from onnx_demucs_rules.spectral.zero_padding import Bare, without_padding

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

    Analyse = Callable[[Tensor, Transform], Tensor | Refusal]


def lowers_stft(analyse: Analyse) -> Callable[..., Any]:
    """Make a lowering of ``aten.stft``.

    Args:
        analyse: takes signals ``[B, samples]`` and returns spectra ``[B, 2, bins, T]``, real part first.
    """

    @functools.wraps(analyse)
    def lowering(
        site: Site,
        signal: Tensor | ComplexPair,
        n_fft: int,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Any = None,
        normalized: bool = False,
        onesided: bool | None = None,
        return_complex: bool | None = None,
        align_to_window: bool | None = None,
    ) -> ComplexPair | Tensor | Refusal:
        if align_to_window:
            return Refusal("align_to_window is set")
        transform = _resolve(site, n_fft, hop_length, win_length, window, normalized, onesided)
        if isinstance(transform, Refusal):
            return transform
        halves = _analysed(analyse, signal, transform)
        if isinstance(halves, Refusal):
            return halves
        axis = signal.ndim - 1
        spectrum = ComplexPair.of(Halves(halves if axis else halves[0], axis))
        return spectrum if return_complex else spectrum.together(-1)

    return lowering


def lowers_istft(synthesise: Callable[[Tensor, Transform], Tensor | Refusal]) -> Callable[..., Any]:
    """Make a lowering of ``aten.istft``.

    Args:
        synthesise: takes one side of spectra, ``[B, 2, bins, T]``, real part first and perhaps without the
            highest bins, which are 0 then; returns the sum of the windowed frames,
            ``[B, n_fft + hop·(T - 1)]``.
    """

    @functools.wraps(synthesise)
    def lowering(
        site: Site,
        spectrum: ComplexPair,
        n_fft: int,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Any = None,
        center: bool = True,
        normalized: bool = False,
        onesided: bool | None = None,
        length: int | None = None,
        return_complex: bool = False,
    ) -> Tensor | ComplexPair | Refusal:
        transform = _resolve(site, n_fft, hop_length, win_length, window, normalized, onesided)
        if isinstance(transform, Refusal):
            return transform
        transform = replace(transform, onesided=True)
        bare = Bare(spectrum, 0, 0) if return_complex else without_padding(site, spectrum)
        halves = _batched(bare.spectrum)
        if return_complex:
            halves = _of_both_parts(halves)
        summed = synthesise(halves[:, :, : transform.bins], transform)
        if isinstance(summed, Refusal):
            return summed
        silent = transform.hop * bare.before, transform.hop * bare.after
        if any(silent):
            summed = torch.nn.functional.pad(summed, silent)
        count = spectrum.shape[-1]
        kept = kept_samples(transform, count, center, length)
        signal = kept if isinstance(kept, Refusal) else divide(summed, transform, count, kept)
        if isinstance(signal, Refusal):
            return signal
        if not return_complex:
            return signal if spectrum.ndim == 3 else signal[0]
        pair = ComplexPair.of(Halves(signal.unflatten(0, (2, -1)), 0))
        return pair if spectrum.ndim == 3 else ComplexPair(pair.real[0], pair.imag[0])

    return lowering


def _analysed(analyse: Analyse, signal: Tensor | ComplexPair, transform: Transform) -> Tensor | Refusal:
    """``[B, 2, bins, T]``, of a complex signal the sum over its parts."""
    if not isinstance(signal, ComplexPair):
        return analyse(signal if signal.ndim == 2 else signal[None], transform)
    both = signal.together(0)
    halves = analyse(both.flatten(0, -2), transform)
    if isinstance(halves, Refusal):
        return halves
    of_real, of_imag = halves.unflatten(0, (2, -1)).unbind(0)
    turned = torch.stack([-of_imag[:, 1], of_imag[:, 0]], dim=1)
    spectrum: Tensor = of_real + turned
    return spectrum


def _batched(spectrum: ComplexPair) -> Tensor:
    """``[B, 2, bins, T]``."""
    halves = spectrum.together(-3)
    return halves.reshape(-1, *halves.shape[-3:])


def _of_both_parts(halves: Tensor) -> Tensor:
    """``[2·B, 2, N, T]``: the spectra of both parts of a complex signal.

    With ``Z'[k] = conj(Z[-k])`` they are ``(Z + Z') / 2`` and ``(Z - Z') / 2i``.
    """
    size = halves.shape[2]
    mirror, conjugate = torch.from_numpy(-np.arange(size) % size), np.array([1.0, -1.0])[:, None, None]
    mirrored = halves.index_select(2, mirror) * as_constant(conjugate, halves)
    of_real, turned = (halves + mirrored) / 2, (halves - mirrored) / 2
    return torch.cat([of_real, torch.stack([turned[:, 1], -turned[:, 0]], dim=1)])


def bin_weights(transform: Transform) -> NDArray[np.float64]:
    """``[bins]``: each bin's count in the inverse transform, times the scale.

    The scale is ``1 / N``, or ``N ** -0.5`` where the transform is normalised. A bin stands for itself
    and its conjugate, except bin 0 and, for even ``n_fft``, the last one.
    """
    scale = transform.n_fft**-0.5 if transform.normalized else 1 / transform.n_fft
    weights = np.full(transform.bins, scale)
    weights[1 : (transform.n_fft + 1) // 2] *= 2
    return weights


def _resolve(
    site: Site,
    n_fft: int,
    hop_length: int | None,
    win_length: int | None,
    window: object | None,
    normalized: bool,
    onesided: bool | None,
) -> Transform | Refusal:
    """The call with defaults and a concrete window, or a refusal."""
    if window is None:
        values = np.ones(win_length or n_fft)
    elif "window" not in site.static:
        return Refusal("the window depends on the model's input")
    elif np.iscomplexobj(site.static["window"]):
        return Refusal("the window is complex")
    else:
        values = site.static["window"].astype(np.float64)
    left = (n_fft - len(values)) // 2
    padded = np.pad(values, (left, n_fft - len(values) - left))
    hop = hop_length if hop_length is not None else n_fft // 4
    return Transform(n_fft, hop, padded, onesided is not False, normalized)
