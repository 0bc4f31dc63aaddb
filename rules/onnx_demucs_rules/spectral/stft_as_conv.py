"""STFT as one convolution with the dense DFT basis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from onnx_demucs_compiler.complex_pair import ComplexPair
from onnx_demucs_compiler.rule import Case, Numerics, Refusal, decompose
from onnx_demucs_rules.spectral.dft import as_constant, dense
from onnx_demucs_rules.spectral.examples import PAIRS, Spectrogram
from onnx_demucs_rules.spectral.stft_call import resolve

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.stages.decompose import Site

aten = torch.ops.aten


@decompose(
    aten.stft.default,
    name="stft-as-conv",
    why="The classic lowering, for transform lengths without a usable factorisation (a prime n_fft) or "
    "on request: one convolution, at the price of 8·N·(N/2 + 1) bytes of basis.",
    numerics=Numerics(min_snr_db=125),
    tags={"spectral"},
    after=["stft-as-matmul"],
    cases=[
        Case("stereo-512", lambda: Spectrogram(n_fft=512, hop=128), ((2, 4000),), ops={"Conv": 1, "STFT": 0},
             beside=PAIRS, needed=True),
        Case("prime-n-fft", lambda: Spectrogram(n_fft=509, hop=100), ((1, 3000),), ops={"Conv": 1},
             beside=PAIRS, needed=True),
        Case("two-sided-one-dimensional", lambda: Spectrogram(n_fft=100, hop=30, onesided=False,
             center=False), ((1000,),), ops={"Conv": 1}, beside=PAIRS, needed=True),
        Case("windowed-by-the-input", lambda: Spectrogram(n_fft=256, hop=64, window="input"), ((1, 2000),),
             fires=0, because="window depends on the model's input", beside=PAIRS, needed=True),
    ],
)  # fmt: skip
def stft_as_conv(
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
    """STFT of ``[B, samples]`` → Conv with a ``[2·bins, 1, n_fft]`` basis and stride ``hop``."""
    if isinstance(signal, ComplexPair):
        return Refusal("the signal is complex")
    if align_to_window:
        return Refusal("align_to_window is set")
    transform = resolve(site, n_fft, hop_length, win_length, window, normalized, onesided)
    if isinstance(transform, Refusal):
        return transform
    basis = dense(transform.window, transform.bins) * (n_fft**-0.5 if normalized else 1.0)
    batched = signal if signal.ndim == 2 else signal[None]
    weight = as_constant(basis[:, None], signal)
    spectrum = F.conv1d(batched[:, None], weight, stride=transform.hop)
    real, imag = spectrum[:, : transform.bins], spectrum[:, transform.bins :]
    if signal.ndim == 1:
        real, imag = real[0], imag[0]
    return ComplexPair(real, imag) if return_complex else torch.stack([real, imag], dim=-1)
