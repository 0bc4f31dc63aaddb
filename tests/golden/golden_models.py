"""The small models whose graphs are kept as golden files."""

from fractions import Fraction
from typing import Any

import torch
from demucs.apply import BagOfModels
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from torch import Tensor, nn
from torch.nn import functional as F

from onnx_demucs_rules.examples import plain_htdemucs, small_htdemucs

TWO = ["drums", "vocals"]
N_FFT, HOP, FRAMES = 502, 125, 33
"""Twice a prime, which no product of two smaller transforms makes."""


class Interleaved(nn.Module):
    """Not Demucs: a spectrum of prime length, edges repeated, long norms and sums, halves transposed."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT))
        self.norm = nn.LayerNorm([N_FFT // 2 + 1, FRAMES])

    def forward(self, mix: Tensor) -> Tensor:
        mix = F.pad(mix, (HOP, HOP), "replicate", 0.0)[..., HOP:-HOP]
        z = torch.stft(mix[:, 0], N_FFT, HOP, window=self.window, return_complex=True)
        halves = torch.stack([self.norm(z.real), z.imag], dim=1).permute(0, 2, 3, 1)
        z = torch.complex(halves.select(-1, 0).cumsum(-1) / FRAMES, halves.select(-1, 1))
        return torch.istft(z, N_FFT, HOP, window=self.window, length=mix.shape[-1])


class Convolutions(nn.Sequential):
    """Not Demucs: a convolution of 3×3, and a gated one."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(32, 32, 3), nn.Conv2d(32, 64, 3, padding=1), nn.GLU(1))


class Complex(nn.Module):
    """Not Demucs: transforms of a whole signal, a power and a product of complex matrices."""

    def forward(self, mix: Tensor) -> Tensor:
        z = torch.fft.rfft(mix.unflatten(-1, (8, 600)))
        return torch.fft.irfft(z.square().mT @ z, n=600)


class Masked(nn.Module):
    """Not Demucs: sources by masks that add up to one, after attention written as sums over products."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(1, 8, 16, stride=8), nn.PReLU(), nn.Conv1d(8, 16, 1), nn.PReLU(16)
        )

    def forward(self, mix: Tensor) -> Tensor:
        features = F.normalize(self.features(mix), dim=1)
        scores = torch.einsum("bct,bcs->bts", features, features)
        attended = torch.einsum("bts,bcs->bct", scores.softmax(-1), features)
        return attended.clamp(-1.5, 1).unflatten(1, (2, 8)).softmax(1)


class Bands(nn.Module):
    """Not Demucs: attention along time in nine bands, turned by steps, and overlapping bands added up."""

    STEPS = 1000
    PLACES = torch.tensor([0, 0, 1, 1, 2, 3, 3, 4, 4])

    angles: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(1, 4)
        self.scale = nn.Parameter(torch.randn(4))
        self.project = nn.Linear(4, 24, bias=False)
        self.register_buffer("angles", torch.arange(self.STEPS)[:, None, None] * torch.tensor([1.0, 0.01]))

    def forward(self, mix: Tensor) -> Tensor:
        features = self.features(mix.reshape(9, self.STEPS, 1)) * self.scale
        query, key, value = self.project(features).unflatten(-1, (3, 2, 4)).unbind(2)
        heads = (x.transpose(1, 2) for x in (self.turned(query), self.turned(key), value))
        attended = F.scaled_dot_product_attention(*heads)
        places = self.PLACES[:, None, None, None].expand_as(attended)
        total = torch.zeros(5, *attended.shape[1:]).scatter_add(0, places, attended)
        total[0] = total[1] - total[0]
        return total

    def turned(self, x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * torch.polar(torch.ones(()), self.angles)[None]).flatten(-2)


def small_hdemucs() -> nn.Module:
    """An LSTM and LocalState in the layer over time, bands of frequencies, masks of magnitudes."""
    return HDemucs(
        TWO, channels=8, nfft=256, depth=3, norm_starts=2, multi_freqs=[0.25, 0.5], multi_freqs_depth=2,
        dconv_attn=2, dconv_lstm=2, cac=False, wiener_iters=0, end_iters=0, samplerate=8000,
        segment=Fraction(1024, 8000),
    )  # fmt: skip


def small_demucs() -> nn.Module:
    """An LSTM over more steps than it takes at once, and LocalState."""
    return Demucs(
        TWO, channels=8, depth=2, norm_starts=1, dconv_attn=1, dconv_lstm=1, dconv_depth=1, dconv_comp=2,
        samplerate=8000, segment=Fraction(4001, 8000),
    )  # fmt: skip


def small_bag() -> nn.Module:
    """A member for each source, as htdemucs_ft has them, and a random shift."""
    members = [plain_htdemucs(t_layers=1, t_sin_random_shift=3) for _ in TWO]
    bag: nn.Module = BagOfModels(members, [[1.0, 0.0], [0.0, 1.0]])
    return bag


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "small-htdemucs-portable": (small_htdemucs, {}),
    "small-htdemucs-ort": (small_htdemucs, {"target": "ort"}),
    "small-htdemucs-web": (small_htdemucs, {"target": "web"}),
    "small-htdemucs-openvino": (small_htdemucs, {"target": "openvino"}),
    "small-hdemucs": (small_hdemucs, {}),
    "small-demucs": (small_demucs, {}),
    "small-bag-stems": (small_bag, {"stems": ("vocals",)}),
    "plain-htdemucs-track": (plain_htdemucs, {"track": True}),
    "wider-htdemucs-fp16-weights": (lambda: plain_htdemucs(channels=32), {"precision": "fp16-weights"}),
    "small-htdemucs-fold-weights": (small_htdemucs, {"fold_weights": True}),
    "bands": (Bands, {"example_input": torch.zeros(1, 1, 9 * Bands.STEPS)}),
    "complex": (Complex, {"example_input": torch.zeros(1, 1, 4800)}),
    "convolutions-web": (Convolutions, {"target": "web", "example_input": torch.zeros(1, 32, 9, 12)}),
    "masked": (Masked, {"example_input": torch.zeros(1, 1, 648)}),
    "not-demucs": (Interleaved, {"example_input": torch.zeros(1, 1, HOP * (FRAMES - 1))}),
}
"""What to build, and how to compile it, by the name of its golden file."""
