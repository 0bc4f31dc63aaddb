"""Audio at another rate, in blocks and without lag."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import soxr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]


def resample(blocks: Iterator[Audio], source_rate: int, target_rate: int, channels: int) -> Iterator[Audio]:
    """Resample blocks ``[C, n]``; rates are in Hz."""
    if source_rate == target_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(source_rate, target_rate, channels, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


class Resampler:
    """Resamples blocks as they come, to a known length."""

    def __init__(self, source_rate: int, target_rate: int, channels: int, length: int) -> None:
        """Rates are in Hz; ``length`` is in samples at the target rate."""
        self._same = source_rate == target_rate
        self._stream = soxr.ResampleStream(source_rate, target_rate, channels, dtype="float32")
        self._channels = channels
        self._left = length

    def push(self, block: Audio) -> Audio:
        """The samples ``[C, m]`` that a block ``[C, n]`` completes."""
        done = block if self._same else self._stream.resample_chunk(np.ascontiguousarray(block.T)).T
        return self._taken(done)

    def flush(self) -> Audio:
        """The rest; what the resampler lacks to the length is silence."""
        empty = np.zeros((0, self._channels), np.float32)
        rest = empty.T if self._same else self._stream.resample_chunk(empty, last=True).T
        rest = self._taken(rest)
        return np.pad(rest, ((0, 0), (0, self._left)))

    def _taken(self, samples: Audio) -> Audio:
        samples = samples[:, : self._left]
        self._left -= samples.shape[1]
        return samples
