"""Stems as audio files: demucs' clip handling and formats, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import soundfile

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime import media
from onnx_demucs_compiler.runtime.audio import BLOCK
from onnx_demucs_compiler.runtime.compressed import AAC_BIT_RATE, BIT_RATES, M4A, MP3, Codec, encode_tracks
from onnx_demucs_compiler.runtime.sink import Sink
from onnx_demucs_compiler.runtime.tags import INFO, Tags, tag_flac

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from onnx_demucs_compiler.runtime.audio import Audio

Format = Literal["wav", "flac", "mp3", "m4a", "stem.mp4"]
ClipMode = Literal["rescale", "clamp", "none"]

INT16_MAX = 2**15 - 1
INT24_MAX = 2**23 - 1
WAV_LIMIT = 2**32 - 2**12
"""Bytes of samples that a RIFF header can count, with room for the header; longer files are RF64."""

MP3_BIT_RATE = 320
"""In kbit/s, as in demucs."""

CODECS = {"mp3": MP3, "m4a": M4A, "stem.mp4": M4A}
"""By format: those that FFmpeg's libraries write."""


@dataclass(frozen=True)
class Encoding:
    """The form in which stems are written.

    Attributes:
        format: ``wav`` or ``flac``; with the extra ``media`` also ``mp3``, ``m4a`` (AAC of 256
            kbit/s) or ``stem.mp4``, one file of the mix and four stems (:mod:`~.stem_mp4`).
        float32: 32-bit float samples in place of 16-bit integers (``wav`` only).
        clip_mode: how samples beyond full scale are avoided: ``rescale`` the whole stem, ``clamp`` them
            to ±0.99, or ``none``: floats as computed (demucs clamps them to ±1), integers clamped to ±1.
        int24: 24-bit integers in place of 16-bit ones (``wav`` and ``flac``).
        mp3_bitrate: of ``mp3``, in kbit/s; 320 when None.

    Raises:
        UsageError: the format has no such samples or bit rate, or nothing is installed that writes it.
    """

    format: Format = "wav"
    float32: bool = False
    clip_mode: ClipMode = "rescale"
    int24: bool = False
    mp3_bitrate: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no file can hold."""
        if self.format == "flac" and self.float32:
            raise UsageError("flac holds integer samples only; leave out --float32, or write wav")
        if self.float32 and self.int24:
            raise UsageError("samples are 32-bit floats or 24-bit integers; leave out --float32 or --int24")
        if self.codec and (self.float32 or self.int24):
            option = "--float32" if self.float32 else "--int24"
            raise UsageError(f"{self.format} holds no samples as they are; leave out {option}, or write wav")
        if self.mp3_bitrate is not None and self.format != "mp3":
            raise UsageError(f"a bit rate of MP3 does not go with {self.format}; leave out --mp3-bitrate")
        if self.mp3_bitrate not in (None, *BIT_RATES):
            rates = ", ".join(map(str, BIT_RATES))
            raise UsageError(f"MP3 has no bit rate of {self.mp3_bitrate} kbit/s; it has {rates}")
        if self.codec and not media.is_installed():
            raise UsageError(f"{self.format} is written by FFmpeg's libraries: {media.INSTALL}")

    @property
    def codec(self) -> Codec | None:
        """For formats that FFmpeg's libraries write."""
        return CODECS.get(self.format)

    @property
    def bit_rate(self) -> int:
        """Of a compressed track, in bits per second."""
        return 1000 * (self.mp3_bitrate or MP3_BIT_RATE) if self.format == "mp3" else AAC_BIT_RATE

    @property
    def subtype(self) -> str:
        """Of a wav or flac, by soundfile's names."""
        return "FLOAT" if self.float32 else "PCM_24" if self.int24 else "PCM_16"

    def samples(self, audio: Audio, peak: np.float32) -> Audio | NDArray[np.int16] | NDArray[np.int32]:
        """Turn audio of any shape into samples to write.

        Args:
            audio: a part of the stem.
            peak: the largest magnitude in the whole stem.
        """
        unclipped = self.prevent_clip(audio, peak)
        if self.float32:
            return unclipped
        clipped = np.clip(unclipped, -1, 1)
        if self.int24:  # libsndfile takes the upper three bytes
            return (clipped * np.float32(INT24_MAX)).astype(np.int32) << 8
        return (clipped * np.float32(INT16_MAX)).astype(np.int16)

    def container(self, samples: int) -> str:
        """The soundfile format that holds so many samples, all channels together."""
        width = 4 if self.float32 else 3 if self.int24 else 2
        if self.format == "wav" and samples * width > WAV_LIMIT:
            return "RF64"
        return self.format.upper()

    def prevent_clip(self, audio: Audio, peak: np.float32) -> Audio:
        """Audio of any shape as :attr:`clip_mode` has it; ``peak`` as for :meth:`samples`."""
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
        self.peak = np.float32(0)

    def append(self, block: Audio) -> None:
        """Write a block ``[C, n]``.

        Raises:
            OSError: the disk is full.
        """
        self.peak = np.maximum(self.peak, np.abs(block).max(initial=0))
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
        if not np.isfinite(self.peak):
            raise CompilerError(f"the model's {self.path.stem} has samples that are not finite numbers")

    def encode(self, path: Path, sample_rate: int, encoding: Encoding, tags: Tags | None = None) -> None:
        """Write the finished stem to ``path`` and remove the raw file.

        Raises:
            OSError: the disk is full.
        """
        tags = tags or Tags()
        with Sink(path, "wb") as sink:
            if encoding.codec:
                unclipped = (encoding.prevent_clip(block, self.peak) for block in self.blocks())
                encode_tracks(
                    sink, encoding.codec, [unclipped], sample_rate, bit_rate=encoding.bit_rate, tags=tags
                )
            else:
                self._encode_samples(sink, sample_rate, encoding, tags)
            sink.check()
        if tags and encoding.format == "flac":
            tag_flac(path, tags)
        self.path.unlink()

    def _encode_samples(self, sink: Sink, sample_rate: int, encoding: Encoding, tags: Tags) -> None:
        container = encoding.container(self.path.stat().st_size // np.dtype(np.float32).itemsize)
        with soundfile.SoundFile(
            sink, "w", sample_rate, self._channels, encoding.subtype, format=container
        ) as file:
            if encoding.format == "wav":
                for name, own in INFO.items():
                    if name in tags.texts:
                        setattr(file, own, tags.texts[name])
            for block in self.blocks():
                file.write(encoding.samples(block.T, self.peak))
                sink.check()
