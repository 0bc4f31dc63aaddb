"""The samples in a container, as its header tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Order = Literal["little", "big"]

_OPEN_SIZES = {2**31 - 4096, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1}
"""Sizes that stand for an unknown one, as programs write them to a pipe."""


@dataclass(frozen=True)
class Claim:
    """The place of the samples, and their size according to the header.

    Attributes:
        start: of the samples, in bytes.
        size: claimed, in bytes.
        size_at: the position of the size, ``width`` bytes in ``order``; None where libsndfile heeds none.
        before: bytes that the size counts and that are no samples.
        header: bytes before them that the size in the file counts too.
        frame: the bytes of one sample of all channels, or of a block of a codec; 0 where they vary.
        is_mpeg: whether the samples are MPEG audio frames.
        to_the_end: whether libsndfile takes all that follows for samples.
    """

    start: int
    size: int
    size_at: int | None = None
    width: int = 0
    order: Order = "big"
    before: int = 0
    header: int = 0
    frame: int = 0
    is_mpeg: bool = False
    to_the_end: bool = False

    @property
    def is_open(self) -> bool:
        """True if the size stands for an unknown one."""
        return self.size + self.header in _OPEN_SIZES
