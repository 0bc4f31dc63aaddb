"""Small models for the cases of ``fft-as-matmul``."""

from __future__ import annotations

import torch
from torch import Tensor, fft, nn


class There(nn.Module):
    """The spectrum of a real signal, one side and both."""

    def __init__(self, size: int) -> None:
        """Take the length of the transform."""
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """``[B, samples]`` to ``[B, bins, 2]``."""
        return torch.view_as_real(fft.rfft(x, self.size))


class Back(There):
    """The signal of half a spectrum, whose first bin is complex."""

    def forward(self, x: Tensor) -> Tensor:
        """``[B, bins, 2]`` to ``[B, samples]``."""
        signal: Tensor = fft.irfft(torch.view_as_complex(x), self.size, norm="ortho")
        return signal


class Every(nn.Module):
    """Every function of ``torch.fft``, along several axes, with every norm."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[2, 6, 10, 2]`` to signals and spectra."""
        z, a = torch.view_as_complex(x), x[..., 0]
        spectra = (
            fft.fft(z), fft.fft(a, dim=1), fft.ifft(z, 9, dim=1, norm="forward"), fft.ifft(a),
            fft.fft(z, 12, norm="ortho"), fft.rfft(a, 7, dim=0), fft.rfft2(a, norm="forward"),
            fft.rfftn(a, (3, 5)), fft.fft2(z), fft.ifft2(z, (4, 8)), fft.fftn(z), fft.fftn(a, dim=(0, 2)),
            fft.ifftn(z, norm="ortho"), fft.ihfft(a, dim=1), fft.ihfft2(a), fft.ihfftn(a, norm="forward"),
            fft.fftshift(fft.fft(z)), fft.ifftshift(z, dim=1),
        )  # fmt: skip
        signals = (
            fft.irfft(z), fft.irfft(z, 1), fft.irfft(z, 5), fft.hfft(z, dim=1), fft.hfft(z, 7, norm="ortho"),
            fft.irfft2(z), fft.irfftn(z, norm="ortho"), fft.hfft2(z), fft.hfftn(z),
        )  # fmt: skip
        return *(torch.view_as_real(spectrum.resolve_conj()) for spectrum in spectra), *signals


class OverTheBatch(nn.Module):
    """A transform over an axis that may be open."""

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 8]`` to ``[B, 8]``."""
        size: Tensor = fft.fft(x, dim=0).abs()
        return size
