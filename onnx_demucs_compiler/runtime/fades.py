"""Segments that fade into each other, for other networks than demucs'.

The arithmetic is that of ``demix_track`` of the package pymss (2.1.12), which follows
Music-Source-Separation-Training: a song is mirrored at both ends, so that its edges are computed as often
as its middle, segments begin at even steps, and a tenth of each fades in and out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnx_demucs_compiler.runtime.segments import OverlapAdd, SlidingWindow, in_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from onnx_demucs_compiler.runtime.audio import Audio

FADE = 10
"""A segment's part that fades: one in so many."""


@dataclass(frozen=True)
class Fades:
    """Segments of a song, in samples.

    Attributes:
        length: of the song.
        size: of a segment.
        step: between the starts of segments, at most ``size``.
    """

    length: int
    size: int
    step: int

    @property
    def border(self) -> int:
        """Samples mirrored at either end; none of a short song."""
        border = self.size - self.step
        return border if self.length > 2 * border else 0

    @property
    def whole(self) -> int:
        """Samples of the song and both ends."""
        return self.length + 2 * self.border

    def weights(self, start: int) -> Audio:
        """The weight of each sample of the segment at ``start``, float32.

        The first of all does not fade in, and those that reach the end do not fade out there.
        """
        fade, count = min(self.size // FADE, self.size - self.step), min(self.size, self.whole - start)
        weights = np.ones(self.size, np.float32)
        if fade:
            weights[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
            weights[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        if start == 0:
            weights[:fade] = 1
        if start + count == self.whole:
            weights[max(0, count - fade) : count] = 1
        return weights[:count]


def separated(
    blocks: Iterable[Audio], fades: Fades, run: Callable[[Audio], Audio], batch: int
) -> Iterator[tuple[Audio, Audio]]:
    """Separate a song.

    Args:
        blocks: of it, ``[C, n]``.
        fades: how it is cut.
        run: makes estimates ``[B, S, C, N]`` of segments ``[B, C, N]``.
        batch: the segments of a run at most.

    Yields:
        The mix ``[C, n]`` and its sources ``[S, C, n]``, part by part.

    Raises:
        CompilerError: the song ends before its length.
    """
    window = SlidingWindow(mirrored(blocks, fades.border) if fades.border else blocks)
    mean: OverlapAdd | None = None
    for starts in in_groups(range(0, fades.whole, fades.step), batch):
        parts = [window.read(start, min(start + fades.size, fades.whole)) for start in starts]
        estimates = run(np.stack([_filled(part, fades.size) for part in parts]))
        mean = mean or OverlapAdd(*estimates.shape[1:])
        for start, part, estimate in zip(starts, parts, estimates, strict=True):
            count = part.shape[1]
            mean.add(estimate[..., :count], fades.weights(start))
            settled = min(fades.step, count)
            yield from _cropped(part[:, :settled], mean.settle(settled), start, fades)


def mirrored(blocks: Iterable[Audio], border: int) -> Iterator[Audio]:
    """Mirror a song at both ends.

    Args:
        blocks: of the song, ``[C, n]``; it is longer than ``border``.
        border: samples to mirror.
    """
    held: Audio | None = None
    begun = False
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=1)
        if not begun and held.shape[1] > border:
            yield held[:, border:0:-1]
            begun = True
        if begun and held.shape[1] > border + 1:
            yield held[:, : -border - 1]
            held = held[:, -border - 1 :]
    if held is not None:
        yield held
        yield held[:, -2 : -border - 2 : -1]


def _filled(part: Audio, size: int) -> Audio:
    """A part made as long as a segment.

    It is mirrored where more than half is there, else silence follows.
    """
    missing = size - part.shape[1]
    mode = "reflect" if part.shape[1] > size // 2 + 1 else "constant"
    return np.pad(part, ((0, 0), (0, missing)), mode=mode) if missing else part  # type: ignore[call-overload]


def _cropped(mix: Audio, stems: Audio, start: int, fades: Fades) -> Iterator[tuple[Audio, Audio]]:
    """The samples of a part that belong to the song."""
    first = max(fades.border - start, 0)
    last = min(fades.border + fades.length - start, mix.shape[1])
    if first < last:
        yield mix[:, first:last], stems[..., first:last]
