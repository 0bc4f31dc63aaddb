"""Inverse STFT as two matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, decompose
from onnx_demucs_rules.spectral import frames
from onnx_demucs_rules.spectral.dft import as_constant, factorise, inner, why_not_factorised
from onnx_demucs_rules.spectral.examples import PAIRS, ComplexResynthesis, Padded, Resynthesis
from onnx_demucs_rules.spectral.stft_call import bin_weights, lowers_istft

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_rules.spectral.transform import Transform

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
             ops={"MatMul": 3}, beside=PAIRS, needed=True),
        Case("padded", lambda: Padded(n_fft=512, hop=128), ((1, 2, 256, 10, 2),), beside=PAIRS, needed=True,
             ops={"MatMul": 2, "Concat": 0}),
        Case("padded-with-ones", lambda: Padded(n_fft=512, hop=128, value=1.0), ((1, 2, 256, 10, 2),),
             beside=PAIRS, needed=True),
        Case("bins-put-below", lambda: Padded(n_fft=512, hop=128, bins=(1, 0)), ((1, 2, 256, 10, 2),),
             beside=PAIRS, needed=True),
        Case("hop-not-a-multiple", lambda: Padded(n_fft=512, hop=100), ((1, 2, 256, 10, 2),),
             beside=PAIRS, needed=True),
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
        Case("complex-signal", lambda: ComplexResynthesis(n_fft=240, hop=60), ((240, 11, 2),), beside=PAIRS,
             needed=True),
        Case("odd-n-fft", lambda: ComplexResynthesis(n_fft=405, hop=100), ((1, 405, 11, 2),),
             beside=PAIRS, needed=True),
        Case("one-spectrum", lambda: Resynthesis(n_fft=256, hop=64), ((129, 9, 2),),
             beside=PAIRS, needed=True),
        Case("twice-a-prime", lambda: Resynthesis(n_fft=998, hop=200), ((1, 500, 9, 2),), fires=0,
             because="no factorisation of n_fft 998 halves", beside=(*PAIRS, "istft-as-conv")),
    ],
)  # fmt: skip
@lowers_istft
def istft_as_matmul(halves: Tensor, transform: Transform) -> Tensor | Refusal:
    """Inverse STFT of ``[B, 2, bins, T]`` → the two products of ``stft-as-matmul``, transposed.

    ``Z[(j, c), p, t] = Σ_(c', q) outer[(c', q), (j, c)] · X[c', p + n1·q, t]``, then
    ``x[n2·i + j, t] = Σ_(c, p) inner[j, (c, p), i] · Z[j, c, p, t]``: a real DFT matrix times a
    spectrum of half the bins, each but the first and last counted twice.
    """
    split = factorise(transform.n_fft, transform.bins)
    if split is None:
        return Refusal(why_not_factorised(transform.n_fft))
    batch, _, bins, count = halves.shape
    rows = split.rows(bins)
    weighted = halves * as_constant(bin_weights(transform)[:bins, None], halves)
    if missing := rows * split.n1 - bins:
        weighted = torch.nn.functional.pad(weighted, (0, 0, 0, missing))
    outer = as_constant(split.outer(bins).T, halves)
    partial = torch.matmul(outer, weighted.reshape(batch, 2 * rows, split.n1 * count))
    table = inner(split, transform.window, halves).transpose(1, 2)
    by_phase = torch.matmul(table, partial.reshape(batch, split.n2, 2 * split.n1, count))
    if transform.hop % split.n2:
        by_phase = by_phase.transpose(1, 2).reshape(batch, 1, transform.n_fft, count)
    return frames.overlap_add(by_phase, transform.hop)
