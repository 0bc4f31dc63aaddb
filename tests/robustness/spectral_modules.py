"""Modules that views, complex values and running sums went wrong in."""

from collections.abc import Callable

import torch
from module_cases import ModuleCases
from torch import Tensor, nn
from torch.nn import functional as F

CASES = ModuleCases()

N_FFT = 64


class OfSpectrum(nn.Module):
    """A function of the spectrum ``[B, bins, frames]`` of ``[B, samples]``."""

    window: Tensor

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(torch.stft(x, N_FFT, N_FFT // 4, window=self.window, return_complex=True))


@CASES.add((2, 1000))
@CASES.add((2, 1000), batch="dynamic")
def magnitudes_by_frame() -> nn.Module:
    return OfSpectrum(lambda z: z.abs().transpose(1, 2).flatten(1))


@CASES.add((2, 1000))
def magnitudes_contiguous_then_viewed() -> nn.Module:
    return OfSpectrum(lambda z: z.abs().transpose(1, 2).contiguous().view(z.shape[0], -1))


@CASES.add((2, 1000))
def bands_of_real_and_imaginary_parts() -> nn.Module:
    return OfSpectrum(lambda z: torch.view_as_real(z).permute(0, 2, 1, 3)[:, :, :8].flatten(2))


@CASES.add((2, 1000))
def frames_read_by_stride() -> nn.Module:
    return OfSpectrum(lambda z: z.abs().transpose(1, 2).contiguous().as_strided((2, 30, 66), (2079, 66, 1)))


@CASES.add(
    (2, 1000),
    error="aten.as_strided.default reads what lies in memory beside its tensor, and ONNX has no memory "
    "layout; give it a contiguous tensor, or use unfold; the model calls it at spectral_modules.py:…: "
    "return x[:, :500].as_strided((2, 30), (1000, 1))",
)
class ReadsBesideItsTensor(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :500].as_strided((2, 30), (1000, 1))


@CASES.add((2, 50, 32))
class ViewAfterSliceAssignment(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros_like(x.transpose(1, 2))
        y[:, 10:20] = x.transpose(1, 2)[:, :10]
        return y.transpose(1, 2).flatten(1)


@CASES.add((1, 64, 128))
class ComplexRotaryPositions(nn.Module):
    turns: Tensor

    def __init__(self) -> None:
        super().__init__()
        angles = torch.arange(64.0)[:, None] * 10000 ** (-torch.arange(0, 16, 2) / 16)
        self.register_buffer("turns", torch.view_as_real(torch.polar(torch.ones_like(angles), angles)))
        self.projection, self.output = nn.Linear(128, 128), nn.Linear(128, 128)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.projection(x).unflatten(-1, (8, 16)).transpose(1, 2)
        pairs = torch.view_as_complex(heads.reshape(*heads.shape[:-1], -1, 2))
        turned = torch.view_as_real(pairs * torch.view_as_complex(self.turns)).flatten(3)
        attended = F.scaled_dot_product_attention(turned, turned, heads)
        return self.output(attended.transpose(1, 2).contiguous().flatten(2))


@CASES.add((2, 1000))
def masks_of_the_type_of_the_spectrum() -> nn.Module:
    return OfSpectrum(lambda z: torch.view_as_real(z * z.abs().type(z.dtype) + z.type(z.dtype)))


@CASES.add((1, 2, 33, 20))
@CASES.add((1, 2, 33, 20), batch="dynamic")
class InverseOfTwoParts(nn.Module):
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT))

    def forward(self, x: Tensor) -> Tensor:
        return torch.istft(x[:, 0] + x[:, 1] * 1.0j, N_FFT, N_FFT // 4, window=self.window)


@CASES.add((2, 1000), batch="dynamic")
def overlapping_bands_summed() -> nn.Module:
    bins = torch.cat([torch.arange(20), torch.arange(10, 33)])

    def summed(z: Tensor) -> Tensor:
        bands = z[:, bins] * 0.5
        return torch.view_as_real(
            torch.zeros_like(z).scatter_add_(1, bins[None, :, None].expand_as(bands), bands)
        )

    return OfSpectrum(summed)


@CASES.add((2, 1000), min_snr_db=120.0)
class RealTransform(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(x).abs()


@CASES.add((1, 2, 4096), min_snr_db=120.0)
class LongFilter(nn.Module):
    """A filter whose response lies in its weights, applied by transforms of the whole signal."""

    def __init__(self) -> None:
        super().__init__()
        self.response = nn.Parameter(torch.randn(1, 255))

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-1] + self.response.shape[-1] - 1
        product = torch.fft.rfft(x, n=size) * torch.fft.rfft(self.response, n=size)
        return torch.fft.irfft(product, n=size)[..., : x.shape[-1]]


@CASES.add(
    (2, 8, 2), error="no rule lowers aten.cumprod.default on a complex tensor, and ONNX has no complex…"
)
class RunningProduct(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.view_as_real(torch.view_as_complex(x).cumprod(-1))


@CASES.add((2, 16000), min_snr_db=120.0)
class RunningSum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(-1)
