"""Fourier transforms of whole axes as matrix products.

``irfft`` and ``hfft`` of a real tensor do not come here: nothing about them is complex, and torch.onnx makes
a DFT of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from onnx_demucs_compiler.rules import Case, ComplexPair, Halves, Numerics, decompose, with_axis_at
from onnx_demucs_rules.spectral import fft_examples as examples
from onnx_demucs_rules.spectral.dft import as_constant
from onnx_demucs_rules.spectral.examples import PAIRS
from onnx_demucs_rules.spectral.fourier import dft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten

SCALES = (0.0, -0.5, -1.0)
"""The power of the transform's size that ATen's norms 0, 1 and 2 multiply with."""


@decompose(
    aten._fft_c2c.default, aten._fft_r2c.default, aten._fft_c2r.default,
    name="fft-as-matmul",
    why="ONNX's DFT operator is slow in ONNX Runtime, absent from most other runtimes, and torch.onnx has no "
    "complex dtype for it. Every transform of torch.fft is one of these three operators.",
    numerics=Numerics(min_snr_db=120),
    tags={"spectral"},
    after=["stft-as-matmul", "istft-as-matmul"],
    cases=[
        Case("dense", lambda: examples.There(60), ((2, 60),), ops={"MatMul": 1, "DFT": 0}, beside=PAIRS,
             needed=True),
        Case("split", lambda: examples.There(4096), ((2, 4096),), ops={"MatMul": 2}, beside=PAIRS,
             needed=True),
        Case("split-three-times", lambda: examples.There(30030), ((1, 30030),), beside=PAIRS, needed=True),
        Case("prime", lambda: examples.There(1021), ((2, 1021),), beside=PAIRS, needed=True),
        Case("cut", lambda: examples.There(48), ((2, 60),), beside=PAIRS, needed=True),
        Case("padded", lambda: examples.There(1000), ((2, 60),), beside=PAIRS, needed=True),
        Case("back-even", lambda: examples.Back(600), ((2, 301, 2),), beside=PAIRS, needed=True),
        Case("back-odd", lambda: examples.Back(75), ((2, 38, 2),), ops={"MatMul": 1}, beside=PAIRS,
             needed=True),
        Case("back-prime", lambda: examples.Back(1021), ((2, 511, 2),), beside=PAIRS, needed=True),
        Case("every-function", examples.Every, ((2, 6, 10, 2),), fires=30, beside=PAIRS, needed=True),
        Case("open-batch", lambda: examples.There(200), ((2, 200),), beside=PAIRS, needed=True,
             options={"batch": "dynamic"}),
        Case("over-an-open-batch", examples.OverTheBatch, ((3, 8),), beside=PAIRS, needed=True, fires=0,
             options={"batch": "dynamic"}, because="Constraints violated (batch)"),
    ],
)  # fmt: skip
def fft_as_matmul(
    site: Site, x: Tensor | ComplexPair, dims: Sequence[int], norm: int, last: Any
) -> Tensor | ComplexPair:
    """``_fft_c2c``, ``_fft_r2c`` and ``_fft_c2r`` → a product for each axis, or a few (:mod:`.fourier`)."""
    sizes = [x.shape[dim] for dim in dims]
    if site.op is aten._fft_c2r.default:
        sizes[-1] = last
    scale = float(math.prod(sizes)) ** SCALES[norm]
    if site.op is aten._fft_c2r.default:
        return _to_real(_over(x, dims[:-1], 1), dims[-1], last, scale)
    if site.op is aten._fft_r2c.default:
        spectrum = _along(x, dims[-1], -1, sizes[-1] // 2 + 1 if last else sizes[-1], scale)
        return _over(spectrum, dims[:-1], -1)
    return _over(x, dims, -1 if last else 1, scale)


def _over(x: Tensor | ComplexPair, dims: Sequence[int], s: int, scale: float = 1.0) -> Tensor | ComplexPair:
    """Transforms along axes, one after another."""
    for dim in dims:
        x, scale = _along(x, dim, s, x.shape[dim], scale), 1.0
    return x


def _along(x: Tensor | ComplexPair, dim: int, s: int, bins: int, scale: float) -> ComplexPair:
    """The first bins of a transform along an axis."""
    rows = _rows(x, dim)
    spectra = dft(rows.reshape(-1, *rows.shape[-2:]), x.shape[dim], s, bins, scale=scale)
    halves = with_axis_at(spectra.reshape(*rows.shape[:-2], 2, bins), -1, dim % x.ndim)
    return ComplexPair.of(Halves(halves, x.ndim))


def _to_real(x: Tensor | ComplexPair, dim: int, size: int, scale: float) -> Tensor:
    """The signal of half a spectrum.

    Its bins but the first and the middle one count twice.
    """
    counts = np.full(size // 2 + 1, 2 * scale)
    counts[0] = scale
    if size % 2 == 0:
        counts[-1] = scale
    rows = _rows(x, dim)
    counted = (rows * as_constant(counts, rows)).reshape(-1, *rows.shape[-2:])
    signals = dft(counted, size, 1, size, real=True)
    return with_axis_at(signals.reshape(*rows.shape[:-2], size), -1, dim % x.ndim)


def _rows(x: Tensor | ComplexPair, dim: int) -> Tensor:
    """``[…, c, n]``: an axis last, and before it the parts of a number."""
    halves = x.together(-1) if isinstance(x, ComplexPair) else x[..., None]
    return with_axis_at(halves, dim % x.ndim, -1)
