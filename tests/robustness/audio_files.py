"""Songs whose samples are known, in files as encoders, recorders and editors leave them."""

import io
from collections.abc import Mapping
from fractions import Fraction

import av
import lameenc
import numpy as np
import soundfile

RATE = 44100


def music(seconds: float, seed: int = 0) -> np.ndarray:
    """float32 ``[2, N]``: notes and beats that begin at known samples, so that a lag shows."""
    time = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(seed).standard_normal((2, len(time)))
    notes = 0.4 * np.sin(2 * np.pi * np.array([[220], [331]]) * time) * (time % 0.7 < 0.4)
    return (notes + 0.1 * noise * np.exp(-((time * 4) % 1) * 9)).astype(np.float32)


def written(samples: np.ndarray, file_format: str, subtype: str | None = None) -> bytes:
    """A file as libsndfile writes it."""
    content = io.BytesIO()
    soundfile.write(content, samples.T, RATE, subtype, format=file_format)
    return content.getvalue()


def lame(samples: np.ndarray, **settings: int) -> bytes:
    """An MP3 without a Xing or Info header."""
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_in_sample_rate(RATE)
    encoder.set_channels(2)
    for name, value in settings.items():
        getattr(encoder, f"set_{name}")(value)
    return bytes(encoder.encode((samples.T * 32767).astype("<i2").tobytes()) + encoder.flush())


def muxed(samples: np.ndarray, options: Mapping[str, str]) -> bytes:
    """An MP3 as FFmpeg writes it, through PyAV."""
    content = io.BytesIO()
    with av.open(content, "w", format="mp3", options=dict(options)) as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="stereo")
        stream.bit_rate = 160_000
        for start in range(0, samples.shape[1], 1152):
            block = np.ascontiguousarray(samples[:, start : start + 1152])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return content.getvalue()


def decoded_by_ffmpeg(content: bytes) -> np.ndarray:
    """float32 ``[2, N]`` of a file of planar floats, as FFmpeg's MP3 decoder gives."""
    with av.open(io.BytesIO(content)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def changed(content: bytes, mark: bytes, skip: int, width: int, order: str, size: int) -> bytes:
    """The file with another number ``skip`` bytes behind a mark."""
    at = content.index(mark) + skip
    return content[:at] + size.to_bytes(width, order) + content[at + width :]  # type: ignore[arg-type]
