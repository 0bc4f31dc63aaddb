"""A synthetic song of tones, drums and noise, for demonstrations and tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEATS_PER_MINUTE = 120


def synthetic_song(
    samples: int, sample_rate: int = 44100, channels: int = 2, seed: int = 0
) -> NDArray[np.float32]:
    """A chord, a bass line, brushed drums and a voice, panned differently.

    Args:
        samples: length.
        sample_rate: in Hz.
        channels: how many to spread the instruments over.
        seed: the same seed gives the same samples.

    Returns:
        ``[channels, samples]``, peak 0.8.
    """
    generator = np.random.default_rng(seed)
    time = np.arange(samples) / sample_rate
    beat = time * BEATS_PER_MINUTE / 60
    places = np.linspace(0, 1, channels) if channels > 1 else np.full(1, 0.5)
    song = np.zeros((channels, samples))
    for position, loudness, instrument in (
        (0.2, 1.0, _chord(time)),
        (0.5, 1.0, _bass(time, beat)),
        (0.5, 0.5, _drums(beat, generator)),
        (0.8, 1.0, _voice(time, beat)),
    ):
        level = np.sqrt(np.mean(instrument**2)) if samples else 1.0
        song += np.cos(places - position)[:, None] * (loudness / max(level, 1e-9)) * instrument
    peak = np.abs(song).max(initial=1e-9)
    scaled: NDArray[np.float32] = (0.8 / peak * song).astype(np.float32)
    return scaled


def _chord(time: NDArray[np.float64]) -> NDArray[np.float64]:
    tones = [np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.18, 329.63, 440.0)]
    swelling: NDArray[np.float64] = np.sum(tones, axis=0) * (1 + 0.3 * np.sin(2 * np.pi * 0.5 * time))
    return swelling


def _bass(time: NDArray[np.float64], beat: NDArray[np.float64]) -> NDArray[np.float64]:
    pitch = np.array([55.0, 55.0, 73.42, 65.41])[(beat // 2).astype(int) % 4]
    plucked: NDArray[np.float64] = np.tanh(3 * np.sin(2 * np.pi * pitch * time)) * np.exp(-(beat % 1))
    return plucked


def _drums(beat: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    loudness = 0.3 + 0.7 * np.exp(-6 * (beat % 1))
    brushed: NDArray[np.float64] = generator.standard_normal(len(beat)) * loudness
    return brushed


def _voice(time: NDArray[np.float64], beat: NDArray[np.float64]) -> NDArray[np.float64]:
    phase = 2 * np.pi * 392.0 * time + 3 * np.sin(2 * np.pi * 5.5 * time)
    partials = [np.sin(harmonic * phase) / harmonic for harmonic in range(1, 8)]
    phrase = np.clip(np.sin(np.pi * beat / 4), 0, None)
    sung: NDArray[np.float64] = np.sum(partials, axis=0) * phrase
    return sung


def main() -> None:
    """``python -m onnx_demucs_compiler.checking.synthesis SONG.wav [SECONDS]`` writes 44.1 kHz stereo."""
    import soundfile

    path, seconds = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    soundfile.write(path, synthetic_song(round(seconds * 44100)).T, 44100)


if __name__ == "__main__":
    main()
