"""The STFT and its inverse in float32, as demucs' ``_spec`` and ``_ispec``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from onnx_demucs_compiler.artifact.metadata import OVERLAPPING

if TYPE_CHECKING:
    from onnx_demucs_compiler.runtime.audio import Audio

ENVELOPE = 1.5
"""What the squares of the windows over a sample sum to.

demucs drops two frames at either end before the model and puts silent ones back before the inverse, so that
it is the same for every sample.
"""


class Spectrum:
    """Between audio ``[..., N]`` and its real and imaginary parts, ``[..., F, T]`` each.

    ``F`` is half of ``n_fft``, without the Nyquist bin; ``T`` is ``N`` over the hop, rounded up.
    """

    def __init__(self, n_fft: int) -> None:
        """Make the window.

        Args:
            n_fft: a multiple of 8.
        """
        self._hop = n_fft // OVERLAPPING
        self._bins = n_fft // 2
        self._lead = self._hop // 2 * 3
        self._window = np.hanning(n_fft + 1)[:-1].astype(np.float32)
        self._norm = np.float32(np.sqrt(n_fft))

    def frames(self, samples: int) -> int:
        """The number of frames of so many samples."""
        return -(-samples // self._hop)

    def analyse(self, audio: Audio) -> tuple[Audio, Audio]:
        """From audio to real and imaginary parts."""
        samples = audio.shape[-1]
        shape = (*audio.shape[:-1], self._bins, self.frames(samples))
        real, imag = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for index in np.ndindex(audio.shape[:-1]):
            tail = self._lead + shape[-1] * self._hop - samples
            padded = _reflect(audio[index], self._lead, tail)
            windows = sliding_window_view(padded, len(self._window))[:: self._hop]
            bins = np.fft.rfft(windows * (self._window / self._norm))[:, :-1]
            real[index], imag[index] = bins.real.T, bins.imag.T
        return real, imag

    def synthesise(self, real: Audio, imag: Audio, samples: int) -> Audio:
        """From real and imaginary parts to as many samples of audio."""
        frames = self.frames(samples)
        audio = np.empty((*real.shape[:-2], samples), np.float32)
        bins = np.zeros((frames, self._bins + 1), np.complex64)
        for index in np.ndindex(real.shape[:-2]):
            bins.real[:, :-1], bins.imag[:, :-1] = real[index].T, imag[index].T
            pieces = np.fft.irfft(bins) * (self._window * self._norm / np.float32(ENVELOPE))
            quarters = pieces.reshape(frames, OVERLAPPING, self._hop)
            total = np.zeros((frames + OVERLAPPING - 1, self._hop), np.float32)
            for delay in range(OVERLAPPING):
                total[delay : delay + frames] += quarters[:, delay]
            audio[index] = total.reshape(-1)[self._lead : self._lead + samples]
        return audio


def _reflect(audio: Audio, left: int, right: int) -> Audio:
    """Extend ``[N]`` by its mirror image, after silence if too short.

    As demucs' ``pad1d``.
    """
    short = max(0, max(left, right) + 1 - len(audio))
    silent_right = min(right, short)
    silent_left = short - silent_right
    audio = np.pad(audio, (silent_left, silent_right))
    return np.pad(audio, (left - silent_left, right - silent_right), mode="reflect")
