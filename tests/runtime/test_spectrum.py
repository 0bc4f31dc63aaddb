"""The host's STFT against demucs' own in float64."""

import numpy as np
import pytest
import torch
from demucs.hdemucs import HDemucs
from torch import nn

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.runtime import spectrum
from onnx_demucs_compiler.runtime.spectrum import Spectrum
from onnx_demucs_rules.examples import small_htdemucs

GATE_DB = 130
"""PyTorch's float32 is at 136."""

SIZES = [(512, 4096), (512, 4001), (512, 4097), (512, 192), (512, 60), (512, 1), (64, 999), (4096, 34398)]


def small_hdemucs(nfft: int) -> nn.Module:
    return HDemucs(["drums", "vocals"], channels=4, nfft=nfft, depth=2).eval()


def parts(spectrum: torch.Tensor) -> np.ndarray:
    return torch.stack([spectrum.real, spectrum.imag]).numpy()


@pytest.mark.parametrize(("n_fft", "samples"), SIZES)
@pytest.mark.parametrize("make", [lambda n_fft: small_htdemucs(nfft=n_fft), small_hdemucs])
def test_analyses_as_demucs_does(make: object, n_fft: int, samples: int) -> None:
    mix = torch.randn(2, 3, samples, generator=torch.Generator().manual_seed(samples))
    wanted = parts(make(n_fft)._spec(mix.double()))
    found = np.stack(Spectrum(n_fft).analyse(mix.numpy()))
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    assert snr_db(wanted, found) > GATE_DB


@pytest.mark.parametrize(("n_fft", "samples"), SIZES)
@pytest.mark.parametrize("make", [lambda n_fft: small_htdemucs(nfft=n_fft), small_hdemucs])
def test_synthesises_as_demucs_does(make: object, n_fft: int, samples: int) -> None:
    """From any numbers, not only such as an STFT makes."""
    shape = (2, 2, 3, n_fft // 2, Spectrum(n_fft).frames(samples))
    made = torch.randn(2, *shape, generator=torch.Generator().manual_seed(samples))
    wanted = make(n_fft)._ispec(torch.complex(*made.double()), samples).numpy()
    found = Spectrum(n_fft).synthesise(*made.numpy(), samples)
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    assert snr_db(wanted, found) > GATE_DB


def test_there_and_back() -> None:
    """Away from the ends, of which demucs drops frames, what has no Nyquist bin comes back."""
    tone = np.sin(2 * np.pi * 0.05 * np.arange(4001)).astype(np.float32)[None]
    ours = Spectrum(512)
    back = ours.synthesise(*ours.analyse(tone), 4001)
    assert snr_db(tone[:, 512:-512], back[:, 512:-512]) > GATE_DB


def test_the_gate_notices_an_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrum, "ENVELOPE", 1.5 * (1 + 1e-5))
    made = torch.randn(2, 1, 256, 32, generator=torch.Generator().manual_seed(0))
    wanted = small_htdemucs()._ispec(torch.complex(*made.double()), 4096).numpy()
    assert snr_db(wanted, Spectrum(512).synthesise(*made.numpy(), 4096)) < 105
