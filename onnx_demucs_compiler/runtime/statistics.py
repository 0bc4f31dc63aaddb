"""The mean and deviation of a track for demucs' normalisation, in blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx_demucs_compiler.runtime.audio import Audio

SILENCE = np.float32(1e-8)
"""Added to the deviation, so that a silent track can be divided by it."""


@dataclass(frozen=True)
class TrackStatistics:
    """The mean and deviation of a track's mono mix-down.

    Attributes:
        length: samples per channel.
        mean: of the samples.
        scale: their unbiased standard deviation, plus :data:`SILENCE`.
    """

    length: int
    mean: np.float32
    scale: np.float32

    @classmethod
    def of(cls, blocks: Iterable[Audio]) -> TrackStatistics:
        """Gather from blocks ``[C, n]``, in float64.

        Merges as Chan, Golub and LeVeque do (1979).
        """
        length, mean, squares = 0, 0.0, 0.0
        for block in blocks:
            count = block.shape[1]
            if count == 0:
                continue
            mono = block.mean(axis=0, dtype=np.float64)
            block_mean = float(mono.mean())
            delta = block_mean - mean
            squares += float(np.square(mono - block_mean).sum()) + delta**2 * length * count / (
                length + count
            )
            length += count
            mean += delta * count / length
        deviation = math.sqrt(squares / (length - 1)) if length > 1 else 0.0
        return cls(length, np.float32(mean), np.float32(deviation) + SILENCE)

    def normalise(self, audio: Audio) -> Audio:
        """Bring audio of any shape to zero mean and unit deviation."""
        return (audio - self.mean) / self.scale

    def restore(self, audio: Audio, means: Audio) -> Audio:
        """Undo :meth:`normalise`.

        Args:
            audio: what became of normalised audio.
            means: how many times the mean was taken out of it, in a shape that goes with it.
        """
        return audio * self.scale + self.mean * means
