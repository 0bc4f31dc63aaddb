"""Inverse STFT as one transposed convolution with the dense DFT basis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from onnx_demucs_compiler.rules import Case, Numerics, decompose
from onnx_demucs_rules.spectral.dft import as_constant, dense
from onnx_demucs_rules.spectral.examples import PAIRS, ComplexResynthesis, Resynthesis, WindowFromInput
from onnx_demucs_rules.spectral.stft_call import bin_weights, lowers_istft

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_rules.spectral.transform import Transform

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
        Case("complex-signal", lambda: ComplexResynthesis(n_fft=49, hop=16), ((2, 49, 9, 2),), beside=PAIRS,
             needed=True),
        Case("windowed-by-the-input", WindowFromInput, ((33, 9, 2),), fires=0,
             because="window depends on the model's input", beside=PAIRS, needed=True),
    ],
)  # fmt: skip
@lowers_istft
def istft_as_conv(halves: Tensor, transform: Transform) -> Tensor:
    """Inverse STFT of ``[B, 2, bins, T]`` → ConvTranspose with a ``[2·bins, 1, n_fft]`` basis."""
    bins = halves.shape[2]
    weights = np.tile(bin_weights(transform)[:bins], 2)
    basis = dense(transform.window, bins) * weights[:, None]
    weight = as_constant(basis[:, None], halves)
    return F.conv_transpose1d(halves.flatten(1, 2), weight, stride=transform.hop)[:, 0]
