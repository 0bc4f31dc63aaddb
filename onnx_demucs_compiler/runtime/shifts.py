"""Passes over a song, each begun a little earlier, and averaged.

The arithmetic is that of ``demucs.apply.apply_model(shifts=N)``: a pass begins up to half a second of silence
before the song, so that its segments lie elsewhere.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from onnx_demucs_compiler.runtime.audio import Audio

MOST = 100
"""Passes that anyone may ask for; each takes as long as a separation without them."""


@dataclass(frozen=True)
class Shifts:
    """The passes over every song.

    Attributes:
        count: how many; 0 for one that begins with the song.
        seed: of the numbers that say where each begins, drawn anew for every song.
    """

    count: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no number of passes.

        Raises:
            UsageError: it is not.
        """
        if not 0 <= self.count <= MOST:
            raise UsageError(f"shifts is {self.count}; give a whole number from 0 to {MOST}")

    def silences(self, sample_rate: int) -> tuple[int, ...]:
        """Samples of silence before the song in each pass.

        The numbers are those that demucs draws after ``random.seed(seed)``.
        """
        most, numbers = int(0.5 * sample_rate), random.Random(self.seed)
        return tuple(most - numbers.randint(0, most) for _ in range(self.count))


NONE = Shifts()
"""One pass that begins with the song."""


def begun_earlier(blocks: Iterable[Audio], silence: int, level: np.float32) -> Iterator[Audio]:
    """Blocks ``[C, n]`` of a song after what is silence once normalised.

    Args:
        blocks: of the song.
        silence: samples.
        level: the song's mean.
    """
    for block in blocks:
        if silence:
            yield np.full((len(block), silence), level, np.float32)
            silence = 0
        yield block
