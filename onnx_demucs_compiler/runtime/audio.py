"""Reading songs in blocks, at the rate and with the channels of the model."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

BLOCK = 1 << 16
"""Samples per channel that a block holds, about."""


def check_song(path: Path, channels: int) -> None:
    """Make sure, without decoding it, that a file is a song that a model of ``channels`` can take.

    Raises:
        CompilerError: there is no such file, it is no audio, it holds none, or its channels do not convert.
        OSError: the file may not be read.
    """
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    with path.open("rb") as bare:
        if not bare.read(1):
            raise CompilerError(f"{path}: the file is empty (0 bytes)")
    with _open(path) as file:
        if file.frames == 0:
            raise CompilerError(f"{path}: the file holds no audio (0 seconds)")
        if 1 < file.channels < channels:
            raise CompilerError(f"{path}: has {file.channels} channels, and the model takes {channels}")


def read_blocks(path: Path, sample_rate: int, channels: int) -> Iterator[Audio]:
    """Decode a song block by block.

    Args:
        path: a song that :func:`check_song` accepts.
        sample_rate: in Hz; the song is resampled to it where it has another.
        channels: of the blocks; see :func:`convert_channels`.

    Yields:
        float32 ``[channels, n]``, of about :data:`BLOCK` samples each.

    Raises:
        CompilerError: a sample is not a finite number, or the file is damaged.
    """
    with _open(path) as file:
        blocks = (convert_channels(block, channels) for block in _decode(path, file, sample_rate))
        if file.samplerate == sample_rate:
            yield from blocks
        else:
            yield from _resample(blocks, file.samplerate, sample_rate, channels)


def read_excerpt(path: Path, channels: int, samples: int, sample_rate: int) -> Audio:
    """The middle of a song, where intros are over.

    Args:
        path: the song.
        channels: to convert to; see :func:`convert_channels`.
        samples: length of the excerpt; a shorter song is followed by zeros.
        sample_rate: in Hz, to resample to.

    Returns:
        float32 ``[channels, samples]``.

    Raises:
        CompilerError: the file cannot be read as audio.
    """
    check_song(path, channels)
    song = np.concatenate(list(read_blocks(path, sample_rate, channels)), axis=1)
    start = max(0, (song.shape[1] - samples) // 2)
    excerpt = song[:, start : start + samples]
    return np.pad(excerpt, ((0, 0), (0, samples - excerpt.shape[1])))


def convert_channels(block: Audio, channels: int) -> Audio:
    """Give audio ``[C, n]`` another number of channels, as demucs does.

    To mono: the mean. From mono: copies. Otherwise the first ``channels``.
    """
    if channels == 1:
        mono: Audio = block.mean(axis=0, keepdims=True)
        return mono
    if len(block) == 1:
        return np.repeat(block, channels, axis=0)
    return block[:channels]


def first_bad_sample(block: Audio) -> int | None:
    """The position of the first sample of ``[C, n]`` that is NaN or infinite in some channel, if any is."""
    bad = ~np.isfinite(block).all(axis=0)
    return int(bad.argmax()) if bad.any() else None


def _open(path: Path) -> soundfile.SoundFile:
    try:
        with _unheard():
            return soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise CompilerError(f"{path}: cannot be read as audio ({error.error_string})") from error
    except TypeError as error:  # headerless by its extension (.raw): soundfile wants to be told the rate
        raise CompilerError(f"{path}: cannot be read as audio (raw samples say no sample rate)") from error


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep off stderr what libmpg123 writes there, past Python, of damage that it gets over."""
    try:
        stderr = os.dup(2)
    except OSError:  # closed: nobody would hear
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _decode(path: Path, file: soundfile.SoundFile, sample_rate: int) -> Iterator[Audio]:
    """Blocks ``[C, n]`` at the file's own rate, no longer than :data:`BLOCK` once at ``sample_rate``."""
    frames = min(BLOCK, max(1, BLOCK * file.samplerate // sample_rate))
    position = 0
    while True:
        try:
            with _unheard() if file.format == "MP3" else nullcontext():
                block = file.read(frames, dtype="float32", always_2d=True).T
        except soundfile.LibsndfileError as error:
            time = position / file.samplerate
            raise CompilerError(f"{path}: damaged after {time:.1f} s ({error.error_string})") from error
        if block.shape[1] == 0:
            return
        bad = first_bad_sample(block)
        if bad is not None:
            time = (position + bad) / file.samplerate
            raise CompilerError(
                f"{path}: the sample at {time:.3f} s is not a finite number (NaN or infinity)"
            )
        yield block
        position += block.shape[1]


def _resample(blocks: Iterator[Audio], source_rate: int, target_rate: int, channels: int) -> Iterator[Audio]:
    stream = soxr.ResampleStream(source_rate, target_rate, channels, dtype="float32")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T
