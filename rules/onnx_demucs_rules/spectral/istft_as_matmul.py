"""Inverse STFT as two matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from onnx_demucs_compiler.rule import Case, Numerics, Refusal, decompose
from onnx_demucs_rules.spectral import frames
from onnx_demucs_rules.spectral.dft import as_constant, factorise, why_not_factorised
from onnx_demucs_rules.spectral.examples import PAIRS, Resynthesis
from onnx_demucs_rules.spectral.stft_call import bin_weights, lowers_istft

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_compiler.complex_pair import ComplexPair
    from onnx_demucs_rules.spectral.stft_call import Transform

aten = torch.ops.aten


@decompose(
    aten.istft.default,
    name="istft-as-matmul",
    why="ONNX has no inverse STFT and no complex dtype, and a dense inverse DFT basis for n_fft 4096 "
    "weighs 67 MB. The mirror image of stft-as-matmul shares that rule's table.",
    numerics=Numerics(min_snr_db=125),
    tags={"spectral"},
    after=["stft-as-matmul"],
    cases=[
        Case("stereo-4096", lambda: Resynthesis(n_fft=4096, hop=1024), ((2, 2049, 20, 2),),
             ops={"MatMul": 2}, beside=PAIRS, needed=True),
        Case("length-given", lambda: Resynthesis(n_fft=512, hop=128, length=1500), ((2, 257, 14, 2),),
             beside=PAIRS, needed=True),
        Case("length-beyond-the-end", lambda: Resynthesis(n_fft=512, hop=128, length=2500),
             ((2, 257, 14, 2),), beside=PAIRS, needed=True),
        Case("envelope-not-constant", lambda: Resynthesis(n_fft=400, hop=160), ((1, 201, 30, 2),),
             beside=PAIRS, needed=True),
        Case("window-shorter-than-n-fft", lambda: Resynthesis(n_fft=512, hop=100, win=400),
             ((1, 257, 12, 2),), beside=PAIRS, needed=True),
        Case("not-centred", lambda: Resynthesis(n_fft=256, hop=64, window="hamming", center=False,
             normalized=False), ((2, 129, 9, 2),), beside=PAIRS, needed=True),
        Case("two-sided", lambda: Resynthesis(n_fft=240, hop=60, onesided=False), ((1, 240, 11, 2),),
             beside=PAIRS, needed=True),
        Case("one-spectrum", lambda: Resynthesis(n_fft=256, hop=64), ((129, 9, 2),),
             beside=PAIRS, needed=True),
        Case("twice-a-prime", lambda: Resynthesis(n_fft=998, hop=200), ((1, 500, 9, 2),), fires=0,
             because="no factorisation of n_fft 998 halves", beside=(*PAIRS, "istft-as-conv")),
    ],
)  # fmt: skip
@lowers_istft
def istft_as_matmul(spectrum: ComplexPair, transform: Transform) -> Tensor | Refusal:
    """Inverse STFT of ``[B, bins, T]`` → the two products of ``stft-as-matmul``, transposed.

    ``Z[(j, c), p, t] = Σ_(c', q) outer[(c', q), (j, c)] · X[c', p + n1·q, t]``, then
    ``x[n2·i + j, t] = Σ_(c, p) inner[j, (c, p), i] · Z[j, c, p, t]``: a real DFT matrix times a
    spectrum of half the bins, each but the first and last counted twice.
    """
    split = factorise(transform.n_fft, transform.bins)
    if split is None:
        return Refusal(why_not_factorised(transform.n_fft))
    halves = torch.stack([spectrum.real, spectrum.imag])
    batch, bins, count = halves.shape[1:]
    rows = split.rows(bins)
    missing = rows * split.n1 - bins
    weights = np.pad(bin_weights(transform), (0, missing))
    by_bin = torch.nn.functional.pad(halves.transpose(1, 2), (0, 0, 0, 0, 0, missing))
    weighted = by_bin * as_constant(weights[:, None, None], halves)
    outer = as_constant(split.outer(bins).T, halves)
    partial = torch.matmul(outer, weighted.reshape(2 * rows, split.n1 * batch * count))
    inner = as_constant(split.inner(transform.window), halves).transpose(1, 2)
    by_phase = torch.matmul(inner, partial.reshape(split.n2, 2 * split.n1, batch * count))
    frames_of = by_phase.transpose(0, 1).reshape(transform.n_fft, batch, count)
    return frames.overlap_add(frames_of, transform.hop)
