"""Songs read in blocks, at the model's rate and with its channels."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime import media
from onnx_demucs_compiler.runtime.channels import channels_left_out, downmix_matrix, layout_of
from onnx_demucs_compiler.runtime.containers import find_parts, first_byte, stream_parts
from onnx_demucs_compiler.runtime.containers.kinds import (
    BEGINNING,
    conversion,
    foreign_kind,
    kind_without_audio,
)
from onnx_demucs_compiler.runtime.containers.part import Part, Span, read_at
from onnx_demucs_compiler.runtime.resampling import resample
from onnx_demucs_compiler.runtime.stderr import unheard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from onnx_demucs_compiler.runtime.channels import Layout

    Audio = NDArray[np.float32]

BLOCK = 1 << 16
"""Samples per channel that a block holds, about."""

_WIDTHS = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
"""Bytes of a sample in encodings that are not compressed."""


def check_song(path: Path, channels: int, *, downmix: bool = False) -> list[str]:
    """Fail if a model of ``channels`` cannot take an undecoded song.

    Args:
        path: the song.
        channels: of the model.
        downmix: whether all channels are to be mixed; see :func:`downmix_matrix`.

    Returns:
        Warnings, a line each: of channels that are left out, and of a header that counts other samples than
        there are, and of an Ogg stream without its end.

    Raises:
        CompilerError: there is no such file, it is no audio, it holds none, or its channels do not convert.
        UsageError: its channels are to be mixed, and nobody knows how.
        OSError: the file may not be read.
    """
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    with path.open("rb") as file:
        if not file.read(1):
            raise CompilerError(f"{path}: the file is empty (0 bytes)")
        parts = _parts(file)
        if not parts:
            return _check_track(path, file, channels, downmix=downmix)
        return _check_parts(path, file, parts, channels, downmix=downmix)


def _check_parts(path: Path, file: BinaryIO, parts: list[Part], channels: int, *, downmix: bool) -> list[str]:
    rates, seconds = [], []
    warnings: list[str] = []
    for part in parts:
        with _open(path, file, part) as (sound, _):
            warnings += _check_channels(path, layout_of(sound), channels, downmix=downmix)
            rates.append(sound.samplerate)
            seconds.append(Fraction(sound.frames, sound.samplerate))
    there = sum(seconds, Fraction(0))
    if there == 0:
        raise CompilerError(f"{path}: the file holds no audio (0 seconds)")
    counted = there if parts[0].counted is None else seconds[0] * parts[0].counted
    if counted != there:
        warnings.append(_miscounted(path, counted, there, rates[0]))
    if any(part.is_cut for part in parts):
        warnings.append(f"{path}: it ends before its last page; it was cut short or damaged")
    return list(dict.fromkeys(warnings))


def _check_track(path: Path, file: BinaryIO, channels: int, *, downmix: bool) -> list[str]:
    with _open_track(path, file) as track:
        warnings = _check_channels(path, track.layout, channels, downmix=downmix)
        if track.tracks > 1:
            warnings.append(f"{path}: has {track.tracks} sound tracks, of which one is taken")
        return warnings


def _check_channels(path: Path, layout: Layout, channels: int, *, downmix: bool) -> list[str]:
    """Warnings of channels left out; none for a mix of all.

    Raises:
        CompilerError: there are too few.
        UsageError: they are to be mixed, and no such mix is known.
    """
    if 1 < layout.channels < channels:
        raise CompilerError(f"{path}: has {layout.channels} channels, and the model takes {channels}")
    if downmix:
        downmix_matrix(path, layout, channels)
        return []
    return channels_left_out(path, layout, channels)


def _miscounted(path: Path, counted: Fraction, there: Fraction, rate: int) -> str:
    """The warning of a header that counts other samples than there are.

    ``rate`` is in Hz.
    """
    claim = f"{path}: its header counts {int(counted * rate)} samples ({float(counted):.1f} s)"
    truth = f"{int(there * rate)} ({float(there):.1f} s)"
    if counted < there:
        return f"{claim}, and the file holds {truth}; all of them are read"
    return f"{claim}, and the file holds only {truth}; it was cut short or damaged"


@dataclass
class Duration:
    """The length of a song, known when it is read.

    Attributes:
        rate: of its first recording, in Hz.
        seconds: of all.
    """

    rate: int = 0
    seconds: Fraction = Fraction(0)

    def add(self, samples: int, rate: int) -> None:
        """Add a recording of so many samples per channel."""
        self.rate = self.rate or rate
        self.seconds += Fraction(samples, rate)

    @property
    def samples(self) -> int:
        """Samples per channel at :attr:`rate`."""
        return round(self.seconds * self.rate)


def read_blocks(
    path: Path,
    sample_rate: int,
    channels: int,
    *,
    downmix: bool = False,
    duration: Duration | None = None,
) -> Iterator[Audio]:
    """Decode a song block by block.

    Args:
        path: a song that :func:`check_song` accepts.
        sample_rate: in Hz; the song is resampled to it where it has another.
        channels: of the blocks; see :func:`convert_channels`.
        downmix: mix more than two channels as :func:`downmix_matrix` says.
        duration: grows as the song is read.

    Yields:
        float32 ``[channels, n]``, of about :data:`BLOCK` samples each.

    Raises:
        CompilerError: a sample is not a finite number, or the file is damaged.
    """
    duration = duration or Duration()
    with path.open("rb") as file:
        parts = _parts(file)
        if not parts:
            with _open_track(path, file) as track:
                blocks = track.blocks(_block_size(track.samplerate, sample_rate))
                decoded = _finite(path, track.samplerate, duration, blocks)
                matrix = downmix_matrix(path, track.layout, channels) if downmix else None
                yield from _converted(decoded, track.samplerate, sample_rate, channels, matrix)
            return
        for part in parts:
            with _open(path, file, part) as (sound, span):
                blocks = _decode(path, sound, span, sample_rate, float(duration.seconds))
                decoded = _finite(path, sound.samplerate, duration, blocks)
                matrix = downmix_matrix(path, layout_of(sound), channels) if downmix else None
                yield from _converted(decoded, sound.samplerate, sample_rate, channels, matrix)


def _converted(
    decoded: Iterator[Audio], source_rate: int, sample_rate: int, channels: int, matrix: Audio | None
) -> Iterator[Audio]:
    blocks = (convert_channels(block, channels, matrix) for block in decoded)
    return resample(blocks, source_rate, sample_rate, channels)


def _finite(path: Path, rate: int, duration: Duration, blocks: Iterator[Audio]) -> Iterator[Audio]:
    """Blocks ``[C, n]``, if their samples are numbers.

    At ``rate`` in Hz, of a recording that follows on ``duration``.

    Raises:
        CompilerError: a sample is not a finite number.
    """
    position = 0
    for block in blocks:
        bad = first_bad_sample(block)
        if bad is not None:
            time = float(duration.seconds) + (position + bad) / rate
            raise CompilerError(
                f"{path}: the sample at {time:.3f} s is not a finite number (NaN or infinity)"
            )
        yield block
        position += block.shape[1]
    duration.add(position, rate)


def read_excerpt(path: Path, channels: int, samples: int, sample_rate: int) -> Audio:
    """The middle of a song, where intros are over.

    Args:
        path: a song that :func:`check_song` accepts.
        channels: to convert to; see :func:`convert_channels`.
        samples: length of the excerpt; a shorter song is followed by zeros.
        sample_rate: in Hz, to resample to.

    Returns:
        float32 ``[channels, samples]``.

    Raises:
        CompilerError: a sample is not a finite number, or the file is damaged.
    """
    song = np.concatenate(list(read_blocks(path, sample_rate, channels)), axis=1)
    start = max(0, (song.shape[1] - samples) // 2)
    excerpt = song[:, start : start + samples]
    return np.pad(excerpt, ((0, 0), (0, samples - excerpt.shape[1])))


def convert_channels(block: Audio, channels: int, matrix: Audio | None = None) -> Audio:
    """Convert audio ``[C, n]`` to another number of channels.

    It takes a matrix ``[channels, C]``, or does as demucs does.

    To mono: the mean. From mono: copies. Otherwise the first ``channels``.
    """
    if matrix is not None:
        return matrix @ block
    if channels == 1:
        mono: Audio = block.mean(axis=0, keepdims=True)
        return mono
    if len(block) == 1:
        return np.repeat(block, channels, axis=0)
    return block[:channels]


def first_bad_sample(block: Audio) -> int | None:
    """The position of the first non-finite sample of ``[C, n]``, if any."""
    bad = ~np.isfinite(block).all(axis=0)
    return int(bad.argmax()) if bad.any() else None


def _parts(file: BinaryIO) -> list[Part]:
    """The recordings that libsndfile can read; none where FFmpeg is to."""
    parts = find_parts(file)
    if _format(file, parts[0]) not in (None, "MP3"):  # of MPEG audio libsndfile does not know the end
        return parts
    beginning = _beginning(file)
    if kind_without_audio(beginning):
        return parts
    if foreign_kind(beginning):
        return []
    frames = stream_parts(file, parts[0].start, parts[-1].end)
    if frames:
        return frames
    parts = [replace(part, tells_end=False) for part in parts]
    return parts if _format(file, parts[0]) or not media.is_installed() else []


def _format(file: BinaryIO, part: Part) -> str | None:
    """The name that libsndfile has for a part's format, if any."""
    try:
        with unheard(), soundfile.SoundFile(Span(file, part)) as sound:
            return str(sound.format)
    except soundfile.LibsndfileError:
        return None


def _beginning(file: BinaryIO) -> bytes:
    return read_at(file, first_byte(file), BEGINNING)


@contextmanager
def _open_track(path: Path, file: BinaryIO) -> Iterator[media.Track]:
    kind = foreign_kind(_beginning(file))
    if not media.is_installed():
        raise CompilerError(
            f"{path}: is {kind}, which needs FFmpeg's libraries: {media.INSTALL}, or convert it: "
            f"{conversion(path.name)}"
        )
    try:
        with media.open_track(file) as track:
            yield track
    except media.TrackError as error:
        raise CompilerError(f"{path}: {f'is {kind}: ' if kind else ''}{error}") from error


def _block_size(rate: int, sample_rate: int) -> int:
    """Samples of a block that is :data:`BLOCK` at most once at ``sample_rate``."""
    return min(BLOCK, max(1, BLOCK * rate // sample_rate))


@contextmanager
def _open(path: Path, file: BinaryIO, part: Part) -> Iterator[tuple[soundfile.SoundFile, Span]]:
    span = Span(file, part)
    try:
        with unheard():
            sound = soundfile.SoundFile(span)
    except soundfile.LibsndfileError as error:
        span.raise_error()
        kind = kind_without_audio(_beginning(file))
        problem = f"is {kind}" if kind else f"cannot be read as audio ({error.error_string})"
        raise CompilerError(f"{path}: {problem}") from error
    span.raise_error()
    span.forget_reads()
    with sound:
        yield sound, span


def _decode(
    path: Path, sound: soundfile.SoundFile, span: Span, sample_rate: int, began: float
) -> Iterator[Audio]:
    """Blocks ``[C, n]`` at the recording's own rate.

    None is longer than :data:`BLOCK` once at ``sample_rate``.

    Args:
        path: of the file, for errors.
        sound: the recording.
        span: what it is read from.
        sample_rate: in Hz.
        began: the seconds of the song that come before the recording.
    """
    frames = _block_size(sound.samplerate, sample_rate)
    position = 0
    while True:
        try:
            with unheard() if sound.subtype.startswith("MPEG") else nullcontext():
                block = sound.read(frames, dtype="float32", always_2d=True).T
        except soundfile.LibsndfileError as error:
            span.raise_error()
            time = began + position / sound.samplerate
            raise CompilerError(f"{path}: damaged after {time:.1f} s ({error.error_string})") from error
        span.raise_error()
        if block.shape[1] == 0:
            break
        yield block
        position += block.shape[1]
    if position < sound.frames:
        raise CompilerError(
            f"{path}: damaged: {sound.frames - position} of {sound.frames} samples are not there"
        )
    if span.holds_more(sound.channels * _WIDTHS.get(sound.subtype, 1)):
        raise CompilerError(
            f"{path}: {span.unread} bytes behind the {position} samples that its header counts cannot be "
            f"read; convert it first: {conversion(path.name)}"
        )
