"""Stems as audio files: demucs' clip handling and formats, in constant memory."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import soundfile

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.audio import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer
    from numpy.typing import NDArray

    from onnx_demucs_compiler.runtime.audio import Audio

Format = Literal["wav", "flac"]
ClipMode = Literal["rescale", "clamp", "none"]

INT16_MAX = 2**15 - 1
WAV_LIMIT = 2**32 - 2**12
"""Bytes of samples that a RIFF header can count, with room for the header; longer files are RF64."""


@dataclass(frozen=True)
class Encoding:
    """The form in which stems are written.

    Attributes:
        format: ``wav`` or ``flac``.
        float32: 32-bit float samples in place of 16-bit integers (``wav`` only).
        clip_mode: how samples beyond full scale are avoided: ``rescale`` the whole stem, ``clamp`` them
            to ±0.99, or ``none``: floats as computed (demucs clamps them to ±1), integers clamped to ±1.

    Raises:
        UsageError: flac has no float samples.
    """

    format: Format = "wav"
    float32: bool = False
    clip_mode: ClipMode = "rescale"

    def __post_init__(self) -> None:
        """Refuse what no file can hold."""
        if self.format == "flac" and self.float32:
            raise UsageError("flac holds integer samples only; leave out --float32, or write wav")

    def samples(self, audio: Audio, peak: np.float32) -> Audio | NDArray[np.int16]:
        """Turn audio of any shape into samples to write.

        Args:
            audio: a part of the stem.
            peak: the largest magnitude in the whole stem.
        """
        unclipped = self._prevent_clip(audio, peak)
        if self.float32:
            return unclipped
        return (np.clip(unclipped, -1, 1) * np.float32(INT16_MAX)).astype(np.int16)

    def container(self, samples: int) -> str:
        """The soundfile format that holds so many samples, all channels together."""
        if self.format == "wav" and samples * (4 if self.float32 else 2) > WAV_LIMIT:
            return "RF64"
        return self.format.upper()

    def _prevent_clip(self, audio: Audio, peak: np.float32) -> Audio:
        if self.clip_mode == "rescale":
            return audio / max(np.float32(1.01) * peak, np.float32(1))
        if self.clip_mode == "clamp":
            return np.clip(audio, np.float32(-0.99), np.float32(0.99))
        return audio


class RawAudio:
    """Float32 samples on disk, and their peak."""

    def __init__(self, path: Path, channels: int) -> None:
        """Start empty, in a new file at ``path``."""
        self.path = path
        self._channels = channels
        self._peak = np.float32(0)

    def append(self, block: Audio) -> None:
        """Write a block ``[C, n]``.

        Raises:
            OSError: the disk is full.
        """
        self._peak = np.maximum(self._peak, np.abs(block).max(initial=0))
        with self.path.open("ab") as file:
            file.write(np.ascontiguousarray(block.T).data)

    def blocks(self) -> Iterator[Audio]:
        """The samples appended, in blocks ``[C, n]``."""
        with self.path.open("rb") as file:
            while samples := file.read(BLOCK * self._channels * np.dtype(np.float32).itemsize):
                yield np.frombuffer(samples, np.float32).reshape(-1, self._channels).T


class RawStem(RawAudio):
    """A stem, until its peak is known and it can be encoded."""

    def append(self, block: Audio) -> None:
        """Write a block ``[C, n]``.

        Raises:
            CompilerError: the model made samples that are not finite numbers.
            OSError: the disk is full.
        """
        super().append(block)
        if not np.isfinite(self._peak):
            raise CompilerError(f"the model's {self.path.stem} has samples that are not finite numbers")

    def encode(self, path: Path, sample_rate: int, encoding: Encoding) -> None:
        """Write the finished stem to ``path`` and remove the raw file.

        Raises:
            OSError: the disk is full.
        """
        container = encoding.container(self.path.stat().st_size // np.dtype(np.float32).itemsize)
        subtype = "FLOAT" if encoding.float32 else "PCM_16"
        with _Sink(path, "wb") as sink:
            with soundfile.SoundFile(
                sink, "w", sample_rate, self._channels, subtype, format=container
            ) as file:
                for block in self.blocks():
                    file.write(encoding.samples(block.T, self._peak))
                    sink.check()
            sink.check()
        self.path.unlink()


class _Sink(io.FileIO):
    """A file for libsndfile to write to, which keeps what went wrong.

    libsndfile loses the reason of a failed write, and never tells of one in the last flush of a flac file.
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
