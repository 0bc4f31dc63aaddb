"""A short-time Fourier transform, either way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Transform:
    """The common part of both directions.

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

    @property
    def scale(self) -> float:
        """The factor of the spectrum."""
        return self.n_fft**-0.5 if self.normalized else 1.0
