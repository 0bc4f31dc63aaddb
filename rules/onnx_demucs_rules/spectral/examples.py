"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# What makes a spectrum real at the border of these models.
PAIRS = ("complex-as-real-pairs",)


class Spectrogram(nn.Module):
    """A model that returns its input's STFT as real numbers."""

    window: Tensor | None

    def __init__(
        self,
        n_fft: int,
        hop: int,
        win: int | None = None,
        window: str | None = "hann",
        center: bool = True,
        normalized: bool = True,
        onesided: bool = True,
        pad_mode: str = "reflect",
    ) -> None:
        """Take the arguments of ``torch.stft``; ``window="input"`` takes the window from the input."""
        super().__init__()
        self.options: dict[str, Any] = {
            "n_fft": n_fft, "hop_length": hop, "win_length": win or n_fft, "center": center,
            "normalized": normalized, "onesided": onesided, "pad_mode": pad_mode,
        }  # fmt: skip
        self.from_input = window == "input"
        self.register_buffer("window", torch.hann_window(win or n_fft) if window == "hann" else None)

    def forward(self, signal: Tensor) -> Tensor:
        """``[..., samples]`` to ``[..., bins, frames, 2]``."""
        window = signal[0, : self.options["win_length"]] if self.from_input else self.window
        return torch.view_as_real(torch.stft(signal, window=window, return_complex=True, **self.options))


class ComplexSpectrogram(Spectrogram):
    """The same of a complex signal."""

    def forward(self, signal: Tensor) -> Tensor:
        """``[..., samples, 2]`` to ``[..., bins, frames, 2]``."""
        return super().forward(torch.view_as_complex(signal))


class Resynthesis(nn.Module):
    """An inverse STFT of a spectrum given as real numbers."""

    window: Tensor

    def __init__(
        self,
        n_fft: int,
        hop: int,
        win: int | None = None,
        window: str = "hann",
        center: bool = True,
        normalized: bool = True,
        onesided: bool = True,
        length: int | None = None,
    ) -> None:
        """Take the arguments of ``torch.istft``; ``window`` names a function of ``torch``."""
        super().__init__()
        self.options: dict[str, Any] = {
            "n_fft": n_fft, "hop_length": hop, "win_length": win or n_fft, "center": center,
            "normalized": normalized, "onesided": onesided, "length": length,
        }  # fmt: skip
        self.register_buffer("window", getattr(torch, f"{window}_window")(win or n_fft))

    def forward(self, spectrum: Tensor) -> Tensor:
        """``[..., bins, frames, 2]`` to ``[..., samples]``."""
        return self.signal(torch.view_as_complex(spectrum))

    def signal(self, spectrum: Tensor) -> Tensor:
        """``[..., bins, frames]`` complex to ``[..., samples]``."""
        return torch.istft(spectrum, window=self.window, **self.options)


class Padded(Resynthesis):
    """An inverse STFT after padding of bins and frames, as in Demucs."""

    def __init__(self, value: float = 0.0, bins: tuple[int, int] = (0, 1), **options: Any) -> None:
        """Take the padded part, the bins below and above, and ``torch.istft``'s arguments."""
        super().__init__(**options)
        self.value, self.bins = value, bins

    def forward(self, spectrum: Tensor) -> Tensor:
        """``[B, C, bins, frames, 2]`` to ``[B·C, samples]``."""
        whole = nn.functional.pad(torch.view_as_complex(spectrum), (0, 0, *self.bins), value=self.value)
        whole = nn.functional.pad(whole, (2, 1), value=self.value)
        return self.signal(whole.flatten(0, 1))


class ComplexResynthesis(Resynthesis):
    """A model that asks for a complex signal from an inverse STFT."""

    def forward(self, spectrum: Tensor) -> Tensor:
        """``[..., bins, frames, 2]`` to ``[..., samples, 2]``."""
        options = self.options | {"onesided": False, "return_complex": True}
        return torch.view_as_real(torch.istft(torch.view_as_complex(spectrum), window=self.window, **options))


class WindowFromInput(nn.Module):
    """An inverse STFT whose window comes from the input."""

    def forward(self, spectrum: Tensor) -> Tensor:
        """``[33, frames, 2]`` to ``[samples]``."""
        window = spectrum.flatten()[:64]
        return torch.istft(torch.view_as_complex(spectrum), 64, 16, window=window)
