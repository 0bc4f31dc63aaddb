"""Levels and errors in dB, by numpy alone.

Files are compared where torch is not installed, too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A stem further below the mix than this is absent, and its error is held against the mix.
ABSENT_DB = -40.0


def snr_db(reference: NDArray[Any], output: NDArray[Any]) -> float:
    """``10·log10(Σ ref² / Σ (out - ref)²)`` in dB, computed in float64.

    Infinite where both are equal, minus infinite where only the reference is all zero, NaN where the
    output is.
    """
    return ratio_db(energy(reference), error_energy(reference, output))


def to_mix_db(part: float, mix: float) -> float:
    """An energy against that of the mix in dB.

    NaN where the mix has none.
    """
    return -ratio_db(mix, part) if mix else math.nan


def error_energy(reference: NDArray[Any], output: NDArray[Any]) -> float:
    """``Σ (out - ref)²``, computed in float64."""
    return energy(output.astype(np.float64) - reference)


def energy(values: NDArray[Any]) -> float:
    """``Σ x²``, computed in float64."""
    return float(np.sum(values.astype(np.float64) ** 2))


def nan_lowest(value: float) -> float:
    """The value, with NaN below every number."""
    return -math.inf if math.isnan(value) else value


def ratio_db(signal: float, noise: float) -> float:
    """``10·log10(signal / noise)`` of two energies, with their limits as :func:`snr_db` has them."""
    if math.isnan(noise) or math.isnan(signal):
        return math.nan
    if noise == 0:
        return math.inf
    if signal == 0 or math.isinf(noise):
        return -math.inf
    return 10 * math.log10(signal / noise)


def finite(value: Any) -> Any:
    """The value with infinities and NaN, which JSON lacks, as ``None``."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
