"""Songs that FFmpeg's libraries read, through PyAV: the extra ``media``."""

from __future__ import annotations

import errno
import importlib.util
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_demucs_compiler.errors import CompilerError, first_line
from onnx_demucs_compiler.runtime.channels import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

INSTALL = "pip install 'onnx-demucs-runtime[media]'"

DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,matroska,mov,mpc,mpc8,mpeg,mpegts,ogg,"
    "rm,shn,tak,truehd,tta,w64,wav,wv"
)
"""The formats that files may have: none that names other files, and not MP3, which any bytes may be."""

TAGGED = f"{DEMUXERS},mp3"
"""The formats that tags are read from."""

POSITIONS = {
    "FL": "left", "FR": "right", "FC": "centre", "LFE": "LFE", "BL": "rear left", "BR": "rear right",
    "FLC": "left of centre", "FRC": "right of centre", "BC": "rear centre", "SL": "side left",
    "SR": "side right",
}  # fmt: skip
"""Of :data:`~.channels.POSITIONS`, by FFmpeg's names."""

PADDING = 4096
"""Samples per channel that an encoder fills its last packet with, at most."""


class TrackError(CompilerError):
    """A sound track that FFmpeg's libraries do not read.

    The message does not name the file.
    """


def is_installed() -> bool:
    """True if there is PyAV."""
    return importlib.util.find_spec("av") is not None


class Track:
    """The sound track of a file, from its first sample on.

    An encoder's delay is skipped where the file tells it (an edit list, ``OpusHead``, Matroska's CodecDelay,
    a LAME tag), as players do.

    Attributes:
        samplerate: in Hz.
        layout: of its channels.
        tracks: how many sound tracks the file has.
    """

    def __init__(self, container: Any) -> None:
        """Take the track that is marked as default, or the first.

        Raises:
            TrackError: there is none, or it cannot be decoded.
        """
        import av

        streams = list(container.streams.audio)
        if not streams:
            raise TrackError("has no sound track")
        self.tracks = len(streams)
        default = av.stream.Disposition.default
        stream = next((stream for stream in streams if default in stream.disposition), streams[0])
        self._frames = self._decoded(container.demux(stream))
        first = next(self._frames, None)
        if first is None:
            raise TrackError("the file holds no audio (0 seconds)")
        self._first = first
        self.samplerate = int(self._first.sample_rate)
        names = tuple(POSITIONS.get(channel.name, "") for channel in self._first.layout.channels)
        channels = int(self._first.layout.nb_channels)
        self.layout = Layout(channels, names if all(names) else (), told=True)
        self._declared = self._samples(stream, stream.duration)
        self._tells_end = "mov" in container.format.name.split(",") and self._declared > 0

    def _samples(self, stream: Any, duration: int | None) -> int:
        return round(float((duration or 0) * stream.time_base * self.samplerate))

    def blocks(self, size: int) -> Iterator[Audio]:
        """The samples in blocks ``[C, n]`` of about ``size``, float32.

        Raises:
            TrackError: the file is damaged.
        """
        import av

        form = av.AudioResampler(format="fltp", layout=self._first.layout, rate=self.samplerate)
        held: list[Audio] = []
        position = 0
        for frame in chain([self._first], self._frames):
            if (frame.sample_rate, frame.layout) != (self.samplerate, self._first.layout):
                raise TrackError(f"its rate or channels change after {position / self.samplerate:.1f} s")
            for planes in form.resample(frame):
                held.append(planes.to_ndarray().astype(np.float32, copy=False))
                position += held[-1].shape[1]
            if sum(block.shape[1] for block in held) >= size + PADDING:
                joined = np.concatenate(held, axis=1)
                yield joined[:, :size]
                held = [joined[:, size:]]
        rest = np.concatenate(held, axis=1)
        yield rest[:, : rest.shape[1] - self._padding(position)]

    def _padding(self, decoded: int) -> int:
        """Samples at an MPEG-4 file's end that are an encoder's padding.

        The last packet tells its true length, or else the edit list does, which may be rounded to
        milliseconds.
        """
        if not self._tells_end:
            return 0
        if self._declared - decoded > PADDING:
            raise TrackError(f"damaged: {self._declared - decoded} of {self._declared} samples are not there")
        end = self._samples(self._last.stream, (self._last.pts or 0) + (self._last.duration or 0))
        if end - self._declared > self.samplerate / 1000:
            end = self._declared
        return decoded - end if 0 < decoded - end <= PADDING else 0

    def _decoded(self, packets: Iterator[Any]) -> Iterator[Any]:
        """The frames of packets."""
        import av

        problem, samples = "the sound track cannot be decoded", 0
        try:
            for packet in packets:
                if packet.size:
                    self._last = packet
                for frame in packet.decode():
                    yield frame
                    samples += frame.samples
                    problem = f"damaged after {samples / frame.sample_rate:.1f} s"
        except (av.FFmpegError, ValueError) as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            raise TrackError(f"{problem} ({reason})") from error


@contextmanager
def open_track(file: BinaryIO) -> Iterator[Track]:
    """Open the sound track of a file.

    Raises:
        TrackError: FFmpeg's libraries do not read it.
        OSError: it cannot be read at all.
    """
    with open_container(file) as container:
        yield Track(container)


@contextmanager
def open_container(file: BinaryIO, formats: str = DEMUXERS) -> Iterator[Any]:
    """Open a file of one of some formats with PyAV.

    Raises:
        TrackError: FFmpeg's libraries do not read it.
        OSError: it cannot be read at all.
    """
    import av

    options = {"format_whitelist": formats, "protocol_whitelist": "none"}
    file.seek(0)
    try:
        container = av.open(file, "r", options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        reason = "a format that is not read here" if error.errno == errno.EINVAL else error.strerror
        raise TrackError(f"cannot be read as audio ({reason})") from error
    with container:
        yield container
