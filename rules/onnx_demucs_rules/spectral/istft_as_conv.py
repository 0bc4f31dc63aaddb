"""Inverse STFT as one transposed convolution with the dense DFT basis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from onnx_demucs_compiler.rule import Case, Numerics, Refusal, decompose
from onnx_demucs_rules.spectral.dft import as_constant, dense
from onnx_demucs_rules.spectral.envelope import divide, kept_samples
from onnx_demucs_rules.spectral.examples import PAIRS, ComplexResynthesis, Resynthesis
from onnx_demucs_rules.spectral.stft_call import bin_weights, inverse_refusal, one_side, resolve

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.complex_pair import ComplexPair
    from onnx_demucs_compiler.stages.decompose import Site

aten = torch.ops.aten


@decompose(
    aten.istft.default,
    name="istft-as-conv",
    why="The classic lowering, for transform lengths without a usable factorisation or on request: one "
    "transposed convolution that transforms and overlap-adds at once.",
    numerics=Numerics(min_snr_db=125),
    tags={"spectral"},
    after=["istft-as-matmul"],
    cases=[
        Case("stereo-512", lambda: Resynthesis(n_fft=512, hop=128), ((2, 257, 9, 2),),
             ops={"ConvTranspose": 1}, beside=PAIRS, needed=True),
        Case("twice-a-prime-length-given", lambda: Resynthesis(n_fft=998, hop=200, length=1600),
             ((1, 500, 9, 2),), ops={"ConvTranspose": 1}, beside=PAIRS, needed=True),
        Case("two-sided-one-spectrum", lambda: Resynthesis(n_fft=100, hop=30, onesided=False,
             normalized=False), ((100, 9, 2),), beside=PAIRS, needed=True),
        Case("complex-signal", ComplexResynthesis, ((64, 9, 2),), fires=0,
             because="a complex signal is asked for", beside=PAIRS, needed=True),
    ],
)  # fmt: skip
def istft_as_conv(
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
    """Inverse STFT of ``[B, bins, T]`` → ConvTranspose with a ``[2·bins, 1, n_fft]`` basis."""
    transform = resolve(site, n_fft, hop_length, win_length, window, normalized, onesided)
    if isinstance(transform, Refusal):
        return transform
    if refusal := inverse_refusal(spectrum, return_complex):
        return refusal
    spectrum, transform = one_side(spectrum, transform)
    weights = bin_weights(transform)
    basis = dense(transform.window, transform.bins) * np.tile(weights, 2)[:, None]
    halves = torch.cat([spectrum.real, spectrum.imag], dim=-2)
    batched = halves if halves.ndim == 3 else halves[None]
    weight = as_constant(basis[:, None], halves)
    summed = F.conv_transpose1d(batched, weight, stride=transform.hop)[:, 0]
    count = batched.shape[-1]
    signal = divide(summed, transform, count, kept_samples(transform, count, center, length))
    if isinstance(signal, Refusal) or spectrum.ndim == 3:
        return signal
    return signal[0]
