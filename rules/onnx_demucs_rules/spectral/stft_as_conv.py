"""STFT as one convolution with the dense DFT basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from onnx_demucs_compiler.rules import Case, Numerics, decompose
from onnx_demucs_rules.spectral.dft import as_constant, dense
from onnx_demucs_rules.spectral.examples import PAIRS, ComplexSpectrogram, Spectrogram
from onnx_demucs_rules.spectral.stft_call import lowers_stft

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_rules.spectral.transform import Transform

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
        Case("complex-signal", lambda: ComplexSpectrogram(n_fft=49, hop=16, onesided=False), ((600, 2),),
             beside=PAIRS, needed=True),
        Case("two-sided-one-dimensional", lambda: Spectrogram(n_fft=100, hop=30, onesided=False,
             center=False), ((1000,),), ops={"Conv": 1}, beside=PAIRS, needed=True),
        Case("windowed-by-the-input", lambda: Spectrogram(n_fft=256, hop=64, window="input"), ((1, 2000),),
             fires=0, because="window depends on the model's input", beside=PAIRS, needed=True),
    ],
)  # fmt: skip
@lowers_stft
def stft_as_conv(signals: Tensor, transform: Transform) -> Tensor:
    """STFT of ``[B, samples]`` → Conv with a ``[2·bins, 1, n_fft]`` basis and stride ``hop``."""
    basis = dense(transform.window, transform.bins) * transform.scale
    weight = as_constant(basis[:, None], signals)
    spectrum: Tensor = F.conv1d(signals[:, None], weight, stride=transform.hop)
    return spectrum.reshape(spectrum.shape[0], 2, transform.bins, spectrum.shape[-1])
