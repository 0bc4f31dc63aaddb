"""A song's tags and cover, which its stems carry on.

They are read and written by FFmpeg's libraries; without these a song has none.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.runtime import media
from onnx_demucs_compiler.runtime.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OF_THE_FILE = (
    "encoder", "encoded_by", "major_brand", "minor_version", "compatible_brands", "creation_time", "duration",
    "language", "handler_name", "vendor_id", "itun", "replaygain_", "r128_", "accurateripdiscid", "bps",
    "tlen", "number_of_", "_statistics", "md5",
)  # fmt: skip
"""How names of tags begin that describe the file or its loudness, and would be wrong of a stem."""

INFO = {
    "title": "title", "artist": "artist", "album": "album", "date": "date", "genre": "genre",
    "comment": "comment", "copyright": "copyright", "track": "tracknumber",
}  # fmt: skip
"""FFmpeg's names of the tags that a wav holds, and soundfile's."""


@dataclass(frozen=True)
class Tags:
    """Tags of a song.

    Attributes:
        texts: by FFmpeg's names (``title``, ``artist``, ``track``, …).
        cover: a picture's file, as it stands in the song; empty if there is none.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    cover: bytes = b""

    def __bool__(self) -> bool:
        """True if there are any."""
        return bool(self.texts or self.cover)


def read_tags(song: Path) -> Tags:
    """Read a song's tags; none where they cannot be read."""
    if not media.is_installed():
        return Tags()
    import av

    try:
        with song.open("rb") as file, media.open_container(file, media.TAGGED) as container:
            texts = {**_texts(container.metadata)}
            for stream in container.streams.audio[:1]:
                texts = {**_texts(stream.metadata), **texts}
            return Tags(texts, _cover(container))
    except (media.TrackError, av.FFmpegError, ValueError):
        return Tags()


def _texts(metadata: Mapping[str, str]) -> dict[str, str]:
    lowered = {name.lower(): text for name, text in metadata.items() if text}
    return {name: text for name, text in lowered.items() if not name.startswith(OF_THE_FILE)}


def _cover(container: Any) -> bytes:
    import av

    attached = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if attached in stream.disposition and stream.codec_context.name in ("mjpeg", "png"):
            return next((bytes(packet) for packet in container.demux(stream) if packet.size), b"")
    return b""


def add_cover(container: Any, cover: bytes) -> None:
    """Add a picture to a container of PyAV that is still empty."""
    import av

    with av.open(io.BytesIO(cover), "r") as picture:
        [source] = picture.streams.video
        stream = container.add_stream_from_template(source)
        stream.disposition = av.stream.Disposition.attached_pic
        for packet in picture.demux(source):
            if packet.size:
                packet.stream = stream
                container.mux(packet)


def tag_flac(path: Path, tags: Tags) -> None:
    """Put tags into a flac file, whose audio stays as it is.

    Raises:
        OSError: the disk is full.
    """
    import av

    tagged = path.with_name(f".{path.name}")
    with av.open(str(path)) as plain, Sink(tagged, "wb") as sink:
        with av.open(sink, "w", format="flac") as container:
            container.metadata.update(tags.texts)
            [source] = plain.streams.audio
            stream = container.add_stream_from_template(source)
            if tags.cover:
                add_cover(container, tags.cover)
            for packet in plain.demux(source):
                if packet.size:
                    packet.stream = stream
                    container.mux(packet)
        sink.check()
    tagged.replace(path)
