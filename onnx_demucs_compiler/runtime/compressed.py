"""Stems in lossy formats, as FFmpeg's libraries encode them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.tags import Tags, add_cover

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import BinaryIO

    from onnx_demucs_compiler.runtime.audio import Audio

AAC_BIT_RATE = 256_000
"""Bits per second of a stereo track."""

MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_RATES = (7350, *MP3_RATES, 64000, 88200, 96000)
"""Sample rates in Hz of ISO/IEC 11172-3 and 13818-3, and of 14496-3."""

BIT_RATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
"""Of MP3 (MPEG-1 layer III) in kbit/s."""


@dataclass(frozen=True)
class Codec:
    """A container and the codec of its tracks, by FFmpeg's names.

    Attributes:
        container: the format.
        codec: of every track.
        rates: the sample rates that it knows, in Hz.
        options: of the container.
    """

    container: str
    codec: str
    rates: tuple[int, ...]
    options: Mapping[str, str] = field(default_factory=dict)

    def check(self, rate: int, channels: int) -> None:
        """Fail if no track has this rate or so many channels.

        Args:
            rate: in Hz.
            channels: of a stem.

        Raises:
            CompilerError: it has not.
        """
        if rate not in self.rates:
            raise CompilerError(f"{self.name} has no sample rate of {rate} Hz; write wav or flac")
        if channels > 2:
            raise CompilerError(f"{self.name} is written in two channels at most, not {channels}; write wav")

    @property
    def name(self) -> str:
        """As users know it."""
        return "MP3" if self.codec == "libmp3lame" else "AAC"


MP3 = Codec("mp3", "libmp3lame", MP3_RATES)
M4A = Codec("mp4", "aac", AAC_RATES, {"brand": "M4A "})


def encode_tracks(
    sink: BinaryIO,
    codec: Codec,
    tracks: Sequence[Iterable[Audio]],
    rate: int,
    *,
    bit_rate: int = AAC_BIT_RATE,
    tags: Tags | None = None,
) -> None:
    """Encode tracks of equal length and layout into one file.

    Delay and padding of the encoder are told in the file, so that players leave them out: of MP3 in its Xing
    header, of MPEG-4 in the edit list, which counts in samples here.

    Args:
        sink: to write to, and to seek in.
        codec: what each becomes.
        tracks: float32 ``[C, n]`` in blocks, of one or two channels; the first is the default one.
        rate: in Hz.
        bit_rate: of each track, in bits per second.
        tags: of the file.

    Raises:
        OSError: the disk is full.
    """
    import av

    tags = tags or Tags()
    options = {**codec.options, **({"movie_timescale": str(rate)} if codec.container == "mp4" else {})}
    with av.open(sink, "w", format=codec.container, options=options) as container:
        container.metadata.update(tags.texts)
        blocks = [iter(track) for track in tracks]
        heads = [next(track) for track in blocks]
        layout = "mono" if len(heads[0]) == 1 else "stereo"
        streams: list[Any] = [container.add_stream(codec.codec, rate=rate, layout=layout) for _ in tracks]
        for number, stream in enumerate(streams):
            stream.bit_rate = bit_rate
            stream.disposition = av.stream.Disposition.default if number == 0 else av.stream.Disposition(0)
        if tags.cover:
            add_cover(container, tags.cover)
        position = 0
        for row in chain([heads], zip(*blocks, strict=True)):
            for stream, block in zip(streams, row, strict=True):
                container.mux(stream.encode(_frame(block, layout, rate, position)))
            position += row[0].shape[1]
        for stream in streams:
            container.mux(stream.encode(None))


def _frame(block: Audio, layout: str, rate: int, position: int) -> Any:
    """A frame of ``[C, n]`` that begins at a sample."""
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block, np.float32), "fltp", layout)
    frame.sample_rate, frame.pts = rate, position
    return frame
