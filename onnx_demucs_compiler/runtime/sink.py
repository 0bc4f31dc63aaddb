"""Files that native libraries write."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Sink(io.FileIO):
    """A file for native libraries, which keeps what went wrong.

    libsndfile loses the reason of a failed write, and never tells of one in the last flush of a flac file;
    FFmpeg has reasons of its own.
    """

    _failure: OSError | None = None

    def write(self, data: ReadableBuffer) -> int:
        """Write everything, or seem to."""
        rest = memoryview(data)
        length = len(rest)
        try:
            while rest and self._failure is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self._failure = error
        return length

    def check(self) -> None:
        """Raise the error of the first write that failed, if one did."""
        if self._failure is not None:
            raise self._failure
