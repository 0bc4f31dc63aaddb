"""STFT as two matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, decompose
from onnx_demucs_rules.spectral import frames
from onnx_demucs_rules.spectral.dft import as_constant, factorise, inner, why_not_factorised
from onnx_demucs_rules.spectral.examples import PAIRS, ComplexSpectrogram, Spectrogram
from onnx_demucs_rules.spectral.stft_call import lowers_stft

if TYPE_CHECKING:
    from torch import Tensor

    from onnx_demucs_rules.spectral.dft import Factorisation
    from onnx_demucs_rules.spectral.transform import Transform

aten = torch.ops.aten


@decompose(
    aten.stft.default,
    name="stft-as-matmul",
    why="ONNX has no complex dtype, ONNX Runtime's STFT operator is slow and absent from most other "
    "runtimes, and a dense DFT basis for n_fft 4096 weighs 67 MB. Two matrix products of radix 64 need "
    "0.1 MB and a sixteenth of the arithmetic.",
    numerics=Numerics(min_snr_db=125),
    tags={"spectral"},
    cases=[
        Case("stereo-4096", lambda: Spectrogram(n_fft=4096, hop=1024), ((2, 16384),),
             ops={"MatMul": 3, "STFT": 0, "DFT": 0}, beside=PAIRS, needed=True),
        Case("hop-not-a-divisor", lambda: Spectrogram(n_fft=400, hop=160), ((1, 5000),),
             beside=PAIRS, needed=True),
        Case("window-shorter-than-n-fft", lambda: Spectrogram(n_fft=512, hop=100, win=300), ((1, 4000),),
             beside=PAIRS, needed=True),
        Case("no-window", lambda: Spectrogram(n_fft=256, hop=64, window=None), ((3, 2000),),
             beside=PAIRS, needed=True),
        Case("not-centred-not-normalised", lambda: Spectrogram(n_fft=512, hop=128, center=False,
             normalized=False), ((2, 3000),), beside=PAIRS, needed=True),
        Case("two-sided", lambda: Spectrogram(n_fft=240, hop=60, onesided=False), ((1, 1000),),
             beside=PAIRS, needed=True),
        Case("complex-signal", lambda: ComplexSpectrogram(n_fft=240, hop=60, onesided=False), ((2, 1000, 2),),
             beside=PAIRS, needed=True),
        Case("odd-n-fft", lambda: Spectrogram(n_fft=405, hop=100, pad_mode="circular"), ((1, 2000),),
             beside=PAIRS, needed=True),
        Case("padded-with-zeros", lambda: Spectrogram(n_fft=256, hop=64, pad_mode="constant"), ((1, 2000),),
             beside=PAIRS, needed=True),
        Case("one-dimensional", lambda: Spectrogram(n_fft=256, hop=64), ((2000,),),
             beside=PAIRS, needed=True),
        Case("hop-larger-than-n-fft", lambda: Spectrogram(n_fft=128, hop=200), ((1, 2001),),
             beside=PAIRS, needed=True),
        Case("prime-n-fft", lambda: Spectrogram(n_fft=509, hop=100), ((1, 3000),), fires=0,
             because="n_fft 509 is prime", beside=(*PAIRS, "stft-as-conv")),
        Case("windowed-by-the-input", lambda: Spectrogram(n_fft=256, hop=64, window="input"), ((1, 2000),),
             fires=0, because="window depends on the model's input", beside=PAIRS, needed=True),
    ],
)  # fmt: skip
@lowers_stft
def stft_as_matmul(signals: Tensor, transform: Transform) -> Tensor | Refusal:
    """STFT of ``[B, samples]`` → products with a ``[n2, 2·n1, n1]`` and a ``[2·rows, 2·n2]`` table.

    ``Y[j, (c, p), t] = Σ_i inner[j, (c, p), i] · x[n2·i + j, t]``, then
    ``X[(c, q), p, t] = Σ_(j, c') outer[(c, q), (j, c')] · Y[j, c', p, t]`` is bin ``p + n1·q``
    (:class:`~onnx_demucs_rules.spectral.dft.Factorisation`).
    """
    split = factorise(transform.n_fft, transform.bins)
    if split is None:
        return Refusal(why_not_factorised(transform.n_fft))
    by_phase = _by_phase(signals, transform, split)
    batch, count = by_phase.shape[0], by_phase.shape[-1]
    table = inner(split, transform.window, signals)
    outer = as_constant(split.outer(transform.bins) * transform.scale, signals)
    partial = torch.matmul(table, by_phase).reshape(batch, 2 * split.n2, split.n1 * count)
    spectrum = torch.matmul(outer, partial)
    halves = spectrum.reshape(batch, 2, split.rows(transform.bins) * split.n1, count)
    return halves[:, :, : transform.bins]


def _by_phase(signals: Tensor, transform: Transform, split: Factorisation) -> Tensor:
    """``[B, n2 (j), n1 (i), T]``."""
    if transform.hop % split.n2 == 0:
        return frames.cut(signals, transform.n_fft, transform.hop, split.n2)
    cut = frames.cut(signals, transform.n_fft, transform.hop)
    return cut.reshape(cut.shape[0], split.n1, split.n2, cut.shape[-1]).transpose(1, 2)
