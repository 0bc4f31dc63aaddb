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
from onnx_demucs_rules.spectral.envelope import divide, kept_samples
from onnx_demucs_rules.spectral.transform import Transform
from onnx_demucs_rules.spectral.zero_padding import without_padding

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from onnx_demucs_compiler.rules import Site


def lowers_stft(analyse: Callable[[Tensor, Transform], Tensor | Refusal]) -> Callable[..., Any]:
    """Make a lowering of ``aten.stft``.

    Args:
        analyse: takes signals ``[B, samples]`` and returns spectra ``[B, 2, bins, T]``, real part first.
    """

    @functools.wraps(analyse)
    def lowering(
        site: Site,
        signal: Tensor,
        n_fft: int,
        hop_length: int | None = None,
        win_length: int | None = None,
        window: Any = None,
        normalized: bool = False,
        onesided: bool | None = None,
        return_complex: bool | None = None,
        align_to_window: bool | None = None,
    ) -> ComplexPair | Tensor | Refusal:
        if isinstance(signal, ComplexPair):
            return Refusal("the signal is complex")
        if align_to_window:
            return Refusal("align_to_window is set")
        transform = _resolve(site, n_fft, hop_length, win_length, window, normalized, onesided)
        if isinstance(transform, Refusal):
            return transform
        halves = analyse(signal if signal.ndim == 2 else signal[None], transform)
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
    ) -> Tensor | Refusal:
        transform = _resolve(site, n_fft, hop_length, win_length, window, normalized, onesided)
        if isinstance(transform, Refusal):
            return transform
        if return_complex:
            return Refusal("a complex signal is asked for")
        transform = replace(transform, onesided=True)
        bare = without_padding(site, spectrum)
        summed = synthesise(_batched_one_side(bare.spectrum, transform), transform)
        if isinstance(summed, Refusal):
            return summed
        silent = transform.hop * bare.before, transform.hop * bare.after
        if any(silent):
            summed = torch.nn.functional.pad(summed, silent)
        count = spectrum.shape[-1]
        kept = kept_samples(transform, count, center, length)
        signal = kept if isinstance(kept, Refusal) else divide(summed, transform, count, kept)
        return signal if isinstance(signal, Refusal) or spectrum.ndim == 3 else signal[0]

    return lowering


def _batched_one_side(spectrum: ComplexPair, transform: Transform) -> Tensor:
    """``[B, 2, bins, T]``: one side of the spectrum, as ATen reads real signals."""
    halves = spectrum.together(-3)
    return halves.reshape(-1, *halves.shape[-3:])[:, :, : transform.bins]


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
