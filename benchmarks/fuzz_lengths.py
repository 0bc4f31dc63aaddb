"""Songs whose headers miscount their samples, with the true samples.

WAV and W64 by hand, and MP3 of libsndfile (with a Xing header) and LAME (without one): sizes and counts
changed, chunks and tags before and behind, files cut, and two joined. What a song holds is known from the
samples that went into a WAV or W64, and for MP3 from FFmpeg's decoder.
"""

from __future__ import annotations

import contextlib
import io
import struct
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import av
import lameenc
import numpy as np
import soundfile

if TYPE_CHECKING:
    from random import Random

    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

FRAME = 1152
"""Samples in an MP3 frame, at most."""
OPEN_SIZES = (2**32 - 1, 2**31 - 4096)
"""Sizes that stand for an unknown one, as programs write them to a pipe."""
TAGS = (
    b"ID3\x03\0\0\0\0\x01\x48" + bytes(200),
    b"TAG" + bytes(125),
    b"APETAGEX\xd0\x07\0\0\x20\0\0\0\0\0\0\0\0\0\0\x80" + bytes(8) + b"APETAGEX\xd0\x07\0\0\x20" + bytes(19),
)
W64_RIFF, W64_CHUNK = bytes.fromhex("2e91cf11a5d628db04c10000"), bytes.fromhex("f3acd3118cd100c04f8edb8a")
"""What follows the first four bytes of the names of chunks in a W64."""


@dataclass(frozen=True)
class Song:
    """A file and what is in it.

    Attributes:
        suffix: of its name.
        content: its bytes.
        rate: in Hz.
        recordings: float32 ``[2, n]`` in their order.
        slack: samples that may follow each: a pad byte of a WAV, and what an encoder adds to fill its frames.
        lies: whether its header counts other samples than there are.
    """

    suffix: str
    content: bytes
    rate: int
    recordings: list[Samples]
    slack: int
    lies: bool

    def problem(self, heard: Samples, told: str) -> str:
        """The fault of ``heard``, float32 ``[2, n]``, or its warnings; empty if none."""
        position = 0
        for recording in self.recordings:
            found = [
                offset for offset in range(self.slack + 1) if _same(heard[:, position + offset :], recording)
            ]
            if not found:
                return "shorter, or other samples"
            position += found[0] + recording.shape[1]
        if heard.shape[1] - position > self.slack:
            return "longer"
        return "no warning" if self.lies and "warning: " not in told else ""


def _same(heard: Samples, recording: Samples) -> bool:
    if heard.shape[1] < recording.shape[1]:
        return False
    begin = slice(0, min(64, recording.shape[1]))
    return bool(np.abs(heard[:, begin] - recording[:, begin]).max(initial=0) < 1e-4) and bool(
        np.abs(heard[:, : recording.shape[1]] - recording).max(initial=0) < 1e-4
    )


def miscounted(random: Random) -> Song:
    """A song whose header may lie about its length."""
    return _mp3(random) if random.random() < 0.5 else _wav(random, random.choice((b"", b"", W64_CHUNK)))


def _wav(random: Random, guid: bytes) -> Song:
    """A WAV, or with the rest of a name's bytes a W64."""
    width, tag = random.choice(((1, 1), (2, 1), (2, 1), (3, 1), (4, 1), (4, 3)))
    channels, count = random.choice((1, 2, 2)), random.choice((1, 2, 100, 4321))
    noise = np.random.default_rng(random.randrange(2**31))
    frame = width * channels
    data = noise.integers(1, 256, count * frame, np.uint8).tobytes()  # no zero that could be a pad byte
    if tag == 3:
        data = noise.uniform(-1, -0.1, count * channels).astype("<f4").tobytes()
    cut = random.randrange(len(data)) if random.random() < 0.2 else len(data)
    pad = bytes(-len(data) % (8 if guid else 2))
    behind = random.choice((b"", b"", pad + _chunk(random, guid), pad + _chunk(random, guid) * 2, TAGS[1]))
    size = random.choice(
        (len(data), 0, 1, len(data) - 1, len(data) - frame, len(data) // 2, random.randrange(len(data) + 1),
         len(data) + random.randrange(1, 9999), *OPEN_SIZES)
    )  # fmt: skip
    layout = struct.pack("<HHIIHH", tag, channels, 8000, 8000 * frame, frame, 8 * width)
    junk = _head(b"JUNK", 32, guid) + bytes(32)
    before = random.choice((b"", b"", _chunk(random, guid), junk))
    chunks = before + _head(b"fmt ", len(layout), guid) + layout + _head(b"data", size, guid)
    content = chunks + data[:cut] + (behind if cut == len(data) else b"")
    riff = random.choice((4 + len(content), 0, 2**32 - 1, random.randrange(2**32)))
    begin = b"RIFF" + struct.pack("<I", riff) + b"WAVE"
    if guid:
        begin = b"riff" + W64_RIFF + struct.pack("<Q", riff) + b"wave" + guid
    there = cut // frame
    return Song(
        ".w64" if guid else ".wav",
        begin + content,
        8000,
        [_values(data[: there * frame], width, tag, channels)],
        len(pad),
        size not in OPEN_SIZES and size // frame != there,
    )


def _chunk(random: Random, guid: bytes) -> bytes:
    size = 8 * random.randrange(1, 12)
    head = _head(random.choice((b"LIST", b"id3 ", b"bext")), size, guid)
    return head + random.randbytes(size)


def _head(name: bytes, size: int, guid: bytes) -> bytes:
    """A chunk's name and the size of its content."""
    if guid:
        return name + guid + struct.pack("<Q", 24 + size)
    return name + struct.pack("<I", size)


def _values(data: bytes, width: int, tag: int, channels: int) -> Samples:
    """Float32 ``[2, n]`` of a WAV's samples."""
    if tag == 3:
        values = np.frombuffer(data, "<f4")
    elif width == 1:
        values = (np.frombuffer(data, np.uint8) - 128.0) / 128
    else:
        padded = np.zeros((len(data) // width, 4), np.uint8)
        padded[:, 4 - width :] = np.frombuffer(data, np.uint8).reshape(-1, width)
        values = padded.view("<i4")[:, 0] / 2.0**31
    frames = values.reshape(-1, channels).T
    return np.repeat(frames, 2 // channels, axis=0).astype(np.float32)


def _mp3(random: Random) -> Song:
    kind = random.choice(((44100, 2), (44100, 1), (22050, 2)))
    content, recording = _encoded(random.choice(("xing", "cbr", "vbr", "abr")), *kind, random.randrange(6))
    change = random.choice(("nothing", "count", "count", "count", "bytes", "cut", "join", "join"))
    before, behind = (random.choice((b"", b"", tag)) for tag in (TAGS[0], random.choice(TAGS[1:])))
    at = content.find(b"Xing")
    if change == "count" and at > 0:
        count = int.from_bytes(content[at + 8 : at + 12], "big")
        new = random.choice((0, 1, count - 1, count // 2, random.randrange(count), count + 7, 2**32 - 1))
        content = content[: at + 8] + new.to_bytes(4, "big") + content[at + 12 :]
        return Song(".mp3", before + content + behind, kind[0], [recording], 2 * FRAME, new != count)
    if change == "bytes" and at > 0:
        content = content[: at + 12] + random.randbytes(4) + content[at + 16 :]
    if change == "cut":
        content = content[: random.randrange(len(content) // 2, len(content))]
        there = max(0, _by_ffmpeg(content).shape[1] - FRAME)
        return Song(".mp3", before + content, kind[0], [recording[:, :there]], 2 * FRAME, at > 0)
    if change == "join":
        other, more = _encoded("xing", *kind, random.randrange(6))
        return Song(".mp3", before + content + behind + before + other, kind[0], [recording, more], 0, at > 0)
    return Song(".mp3", before + content + behind, kind[0], [recording], 0, lies=False)


@cache
def _encoded(encoder: str, rate: int, channels: int, seed: int) -> tuple[bytes, Samples]:
    noise = np.random.default_rng(seed)
    samples = noise.uniform(-0.5, 0.5, (rate // 4 + 1000 * seed, channels)).astype(np.float32)
    if encoder == "xing":
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format="MP3")
        content = file.getvalue()
    else:
        lame = lameenc.Encoder()
        lame.silence()
        lame.set_in_sample_rate(rate)
        lame.set_channels(channels)
        lame.set_vbr({"cbr": 0, "vbr": 4, "abr": 3}[encoder])
        content = bytes(lame.encode((samples * 32767).astype("<i2").tobytes()) + lame.flush())
    return content, _by_ffmpeg(content)


def _by_ffmpeg(content: bytes) -> Samples:
    with av.open(io.BytesIO(content)) as container:
        frames = []
        for packet in container.demux(audio=0):
            with contextlib.suppress(av.error.InvalidDataError):  # a frame that was cut
                frames += [frame.to_ndarray() for frame in packet.decode()]
    decoded = np.concatenate(frames, axis=1)
    return np.repeat(decoded, 2 // len(decoded), axis=0)
