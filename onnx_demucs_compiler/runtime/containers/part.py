"""A part of a file, as a separate file for libsndfile."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction
    from typing import Any, BinaryIO


@dataclass(frozen=True)
class Part:
    """One recording in a file, with a header that is true.

    Attributes:
        start: of the part in bytes; of what follows its header where that is replaced.
        end: of the part in bytes.
        header: replaces what the part has before ``start``.
        counted: the share of the samples in this part that its header in the file counts; None where it
            counts none, as in a stream.
        audio_end: of the samples in bytes, where chunks follow them; ``end`` when None.
        tells_end: whether libsndfile is told the length. Where it is not, libmpg123 counts frames instead of
            estimating their number from the first.
        is_cut: whether it is known to lack its end, although nothing counts its samples.
    """

    start: int
    end: int
    header: bytes = b""
    counted: Fraction | None = None
    audio_end: int | None = None
    tells_end: bool = True
    is_cut: bool = False


def read_at(file: BinaryIO, position: int, size: int) -> bytes:
    """The bytes from a position on, fewer at the file's end."""
    file.seek(position)
    return file.read(size)


class Span:
    """A :class:`Part` as a file, with the methods that soundfile needs.

    What a read fails with is kept for :meth:`raise_error`, as no exception gets through libsndfile.
    """

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self._file, self._part = file, part
        self._length = len(part.header) + part.end - part.start
        self._audio_end = part.end if part.audio_end is None else part.audio_end
        self._position = self._read_to = 0
        self._error: BaseException | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        length = self._length if self._part.tells_end else 0
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read up to as many bytes as the buffer holds."""
        try:
            return self._readinto(memoryview(buffer).cast("B"))
        except BaseException as error:  # noqa: BLE001 - an interruption too
            self._error = error
            return 0

    def _readinto(self, buffer: memoryview) -> int:
        header = self._part.header[self._position :][: len(buffer)]
        if header:
            buffer[: len(header)] = header
            count = len(header)
        else:
            start = self._part.start + self._position - len(self._part.header)
            self._file.seek(start)
            count = self._file.readinto(buffer[: max(0, self._part.end - start)])  # type: ignore[attr-defined]
        self._position += count
        self._read_to = max(self._read_to, self._position)
        return count

    def raise_error(self) -> None:
        """Raise what a read failed with, if any did."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def forget_reads(self) -> None:
        """Restart the record of bytes read, after opening looked at the end."""
        self._read_to = 0

    @property
    def unread(self) -> int:
        """Bytes of audio behind the last one read.

        0 if all was read before the record began.

        0 too where libsndfile is not told the end: libmpg123 leaves frames unread that hold only padding.
        """
        if not (self._read_to and self._part.tells_end):
            return 0
        return max(0, self._audio_end - self._part.start + len(self._part.header) - self._read_to)

    def holds_more(self, frame: int) -> bool:
        """True if those bytes are more than zeros and a broken frame."""
        if self.unread < frame:
            return False
        begin = self._audio_end - self.unread
        return any(any(read_at(self._file, at, 1 << 16)) for at in range(begin, self._audio_end, 1 << 16))
