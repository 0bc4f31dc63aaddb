"""A track cut into segments, and their weighted sum, as in demucs.

The arithmetic follows ``demucs.apply.apply_model(shifts=0, split=True)`` operation by operation in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from onnx_demucs_compiler.errors import CompilerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from onnx_demucs_compiler.runtime.audio import Audio


Item = TypeVar("Item")

DEFAULT_OVERLAP = 0.25
"""The part of each segment that the next covers too, as in demucs."""


@dataclass(frozen=True)
class Segment:
    """One run of the model, in samples of the track.

    The model's window is centred on the segment. It starts before the segment, and ends after it, where the
    model takes windows of one length and the end of the track cuts the segment short, or where it needs the
    track around its segments.

    Attributes:
        start: where the segment begins.
        length: how much of the track it estimates.
        settled: how many samples from ``start`` no later segment touches.
        left: silence to put before the track in the window.
        window: the span of the track in the window, end excluded.
        right: silence to put after it.
    """

    start: int
    length: int
    settled: int
    left: int
    window: tuple[int, int]
    right: int

    @property
    def taken(self) -> int:
        """Samples of the window."""
        return self.left + self.window[1] - self.window[0] + self.right

    def pad(self, audio: Audio) -> Audio:
        """Pad the span ``[C, n]`` of the track to the window's length."""
        return np.pad(audio, ((0, 0), (self.left, self.right)))

    def trim(self, estimate: Audio) -> Audio:
        """Crop an estimate ``[S, C, N]`` of the window to the segment."""
        first = self.start - self.window[0] + self.left
        return estimate[..., first : first + self.length]


def stride_of(size: int, overlap: float) -> int:
    """Samples between the starts of segments of ``size`` samples.

    Raises:
        UsageError: ``overlap`` is not in [0, 1), or leaves less than a sample.
    """
    if not 0 <= overlap < 1:
        raise UsageError(f"the overlap must be at least 0 and below 1, and is {overlap}")
    stride = int((1 - overlap) * size)
    if stride == 0:
        raise UsageError(f"an overlap of {overlap} leaves no step between segments of {size} samples")
    return stride


def plan(track: int, size: int, stride: int, context: int | None = None) -> Iterator[Segment]:
    """The segments that cover a track, in order.

    Args:
        track: samples of it.
        size: of a segment; the end of the track cuts the last ones short.
        stride: from the start of a segment to that of the next.
        context: samples of the track in a window before and after its segment, where the window of a shorter
            segment is shorter; None where each window is of ``size``.
    """
    for start in range(0, track, stride):
        length = min(size, track - start)
        before = (size - length) // 2 if context is None else context
        begin = start - before
        end = begin + size if context is None else start + length + context
        window = (max(0, begin), min(track, end))
        yield Segment(
            start, length, min(stride, length), left=window[0] - begin, window=window, right=end - window[1]
        )


def first_short(track: int, size: int, stride: int) -> int:
    """The start of the first segment that the track's end cuts short.

    That end if there is none.
    """
    whole = max(0, (track - size) // stride + 1)
    return min(whole * stride, track)


def in_groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items in groups of ``size``; the last may be smaller."""
    remaining = iter(items)
    while group := list(islice(remaining, size)):
        yield group


def in_batches(segments: Iterable[Segment], size: int) -> Iterator[list[Segment]]:
    """Segments in groups of at most ``size``, whose windows are equally long."""
    for _, alike in groupby(segments, lambda segment: segment.taken):
        yield from in_groups(alike, size)


def triangle(size: int) -> Audio:
    """The weight of each sample of a segment, float32 ``[size]``.

    It rises to 1 in the middle and is never 0.
    """
    rising = np.arange(1, size // 2 + 1, dtype=np.float32)
    falling = np.arange(size - size // 2, 0, -1, dtype=np.float32)
    weight = np.concatenate([rising, falling])
    normalised: Audio = weight / weight.max()
    return normalised


class SlidingWindow:
    """Spans of a stream of blocks ``[…, n]``, in order of their starts."""

    def __init__(self, blocks: Iterable[Audio]) -> None:
        """Read from ``blocks`` no further than the spans asked for need."""
        self._blocks = iter(blocks)
        self._held: Audio | None = None
        self._position = 0

    def read(self, start: int, stop: int) -> Audio:
        """The samples from ``start`` to ``stop``, ``[…, stop - start]``; earlier ones are forgotten.

        Raises:
            CompilerError: the stream is shorter than that.
        """
        pieces = [] if self._held is None else [self._held[..., start - self._position :]]
        available = sum(piece.shape[-1] for piece in pieces)
        while available < stop - start:
            block = next(self._blocks, None)
            if block is None:
                raise CompilerError("the song became shorter while it was being read")
            pieces.append(block)
            available += block.shape[-1]
        self._held = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)
        self._position = start
        return self._held[..., : stop - start]


class OverlapAdd:
    """The weighted mean of overlapping estimates, handed out as it settles."""

    def __init__(self, sources: int, channels: int, size: int) -> None:
        """Start at a track's beginning, for segments of ``size`` or less."""
        self._triangle = triangle(size)
        self._sum = np.zeros((sources, channels, size), np.float32)
        self._weights = np.zeros(size, np.float32)

    def add(self, estimate: Audio, weight: Audio | None = None) -> None:
        """Add the estimate ``[S, C, n]`` of the segment at the first unsettled sample.

        Args:
            estimate: of the segment.
            weight: of its samples, float32, as many or more; :func:`triangle` when None.
        """
        length = estimate.shape[-1]
        weight = self._triangle if weight is None else weight
        self._sum[..., :length] += weight[:length] * estimate
        self._weights[:length] += weight[:length]

    def settle(self, count: int) -> Audio:
        """Return the first ``count`` unsettled samples, ``[S, C, count]``, and pass them.

        Those that nothing has a weight for are silent.
        """
        sums, weights = self._sum[..., :count], self._weights[:count]
        settled: Audio = np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0)
        self._sum = _shift(self._sum, count)
        self._weights = _shift(self._weights, count)
        return settled


def _shift(array: Audio, count: int) -> Audio:
    return np.concatenate([array[..., count:], np.zeros_like(array[..., :count])], axis=-1)
