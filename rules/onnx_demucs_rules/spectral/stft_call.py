"""The arguments of ``aten.stft`` and ``aten.istft``, resolved the way ATen resolves them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnx_demucs_compiler.complex_pair import ComplexPair
from onnx_demucs_compiler.rule import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnx_demucs_compiler.stages.decompose import Site


@dataclass(frozen=True)
class Transform:
    """What both directions share.

    Attributes:
        n_fft: length of the transform.
        hop: samples between frames.
        window: ``[n_fft]`` float64, padded on both sides to ``n_fft`` as ATen pads it.
        onesided: bins 0 to ``n_fft // 2`` only.
        normalized: scaled by ``n_fft ** -0.5`` in both directions.
    """

    n_fft: int
    hop: int
    window: NDArray[np.float64]
    onesided: bool
    normalized: bool

    @property
    def bins(self) -> int:
        """The number of frequency bins in a spectrum."""
        return self.n_fft // 2 + 1 if self.onesided else self.n_fft


def resolve(
    site: Site,
    n_fft: int,
    hop_length: int | None,
    win_length: int | None,
    window: object | None,
    normalized: bool,
    onesided: bool | None,
) -> Transform | Refusal:
    """Defaults filled in and the window made concrete, or the reason why it cannot be."""
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


def bin_weights(transform: Transform) -> NDArray[np.float64]:
    """``[bins]``: how often each bin of one side counts in the inverse transform, times the scale.

    The scale is ``1 / N``, or ``N ** -0.5`` where the transform is normalised. A bin stands for itself
    and its conjugate, except bin 0 and, for even ``n_fft``, the last one.
    """
    scale = transform.n_fft**-0.5 if transform.normalized else 1 / transform.n_fft
    weights = np.full(transform.bins, scale)
    weights[1 : (transform.n_fft + 1) // 2] *= 2
    return weights


def inverse_refusal(spectrum: ComplexPair, return_complex: bool) -> Refusal | None:
    """Why an inverse transform cannot be lowered, whatever its arithmetic."""
    if return_complex:
        return Refusal("a complex signal is asked for")
    if not isinstance(spectrum.shape[-1], int):
        return Refusal("the number of frames is dynamic")
    return None


def one_side(spectrum: ComplexPair, transform: Transform) -> tuple[ComplexPair, Transform]:
    """The bins that a real inverse transform looks at: of a two-sided spectrum ATen drops the others."""
    bins = transform.n_fft // 2 + 1
    halves = ComplexPair(spectrum.real[..., :bins, :], spectrum.imag[..., :bins, :])
    return (spectrum, transform) if transform.onesided else (halves, replace(transform, onesided=True))
