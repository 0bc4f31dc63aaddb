"""Small models with complex values inside, for the cases of ``complex-as-real-pairs``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Shapes(nn.Module):
    """Moves complex elements about."""

    def forward(self, x: Tensor) -> Tensor:
        """``[2, 3, 8, 2]`` to real numbers."""
        z = torch.view_as_complex(x)
        z = F.pad(z[..., 1:-1], (1, 2))[:, :, :8]
        z = z.reshape(2, 24).view(2, 3, 8).permute(1, 0, 2).transpose(0, 1)
        z = torch.cat([z, z[:, :1], x[:, :1, :, 0]], dim=1)
        z = torch.stack([z, z.flip(-1)], dim=1).unsqueeze(2).squeeze(2)
        first, second = z.split(1, dim=1)
        z = (first[:, 0] + second.select(1, 0).roll(1, -1)).expand(2, 5, 8)
        z = z.clone()
        z[:, 0, :4] = 2 * z[:, 1, :4]
        return torch.view_as_real(z.sum(1) + z.mean(1))


class Arithmetic(nn.Module):
    """Adds, multiplies and divides complex numbers by complex and real ones."""

    def forward(self, x: Tensor, r: Tensor) -> Tensor:
        """``[2, 8, 2]`` and ``[2, 8]`` to real numbers."""
        z = torch.view_as_complex(x)
        w = torch.complex(r, x[..., 1])
        total = z + w - r + torch.add(z, w, alpha=2) + 3 + (1 - z) + (z + 1j)
        product = z * w * r * 0.5 * (2 + 1j)
        ratio = z / (2 + r * r) + z / 4 + z / (w * 0.1 + 5)
        return torch.view_as_real(total - product + ratio)


class Masking(nn.Module):
    """The operators of a spectrogram model on its mask."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``[2, 8, 2]`` and ``[2, 8]`` to ``[2, 8]``."""
        z = torch.view_as_complex(x)
        masked = torch.where(mask > 0, z / (1e-8 + z.abs()) * mask, z.conj())
        return masked.real + masked.imag * z.angle() - torch.polar(mask, mask).real


class Filling(nn.Module):
    """Creates complex tensors of perhaps open size, and writes into them."""

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 3, 8, 2]`` to ``[B, 6, 8, 2]``."""
        z = torch.view_as_complex(x)
        batch = x.shape[0]
        total = torch.zeros(batch, 6, 8, dtype=z.dtype)
        total[:, :3] = z
        total[:, 3:4, :4] += x[:, :1, :4, 0]
        total = total + z.new_full((batch, 1, 8), 2 - 1j) * torch.full_like(total, 0.5j)
        total = total - z.new_ones(batch, 1, 1) * torch.ones(batch, 6, 1, dtype=z.dtype)
        empty = z.new_empty(batch, 3, 8)
        empty[:] = z * torch.ones_like(z)
        count = z.new_zeros(batch, 3, 8, dtype=x.dtype) + torch.zeros_like(z, dtype=x.dtype) + 2
        return torch.view_as_real(total + torch.cat([empty / count, torch.zeros_like(z)], dim=1))


class Scattering(nn.Module):
    """Writes complex elements to places, and takes them from places."""

    def forward(self, x: Tensor) -> Tensor:
        """``[2, 3, 8, 2]`` to ``[2, 3, 8, 2]``."""
        z = torch.view_as_complex(x)
        bins = torch.tensor([0, 2, 2, 7, 1, 0, 5, 4])
        total = torch.zeros_like(z).scatter_add(2, bins.expand_as(z), z)
        total = total.index_add(2, bins[:2], z[..., :2])
        total = total.index_put((torch.tensor([1]),), z[:1] * 2j)
        quiet = z.abs() < 1
        total = total.masked_fill(quiet, 0.5) + z.masked_fill(quiet, 1j)
        total = total + z.tile(1, 1, 2)[..., 3:11] + z.repeat_interleave(2, 2)[..., 3:11]
        framed = F.pad(z, (1, 1)).unfold(-1, 3, 1).sum(-1)
        return torch.view_as_real(total + framed + z.diagonal(0, 1, 2).sum(-1)[:, None, None])


class Casts(nn.Module):
    """Casts from complex, to complex, and where there is nothing to cast."""

    def forward(self, x: Tensor) -> Tensor:
        """``[2, 8, 2]`` to ``[2, 8, 2]``."""
        z = torch.view_as_complex(x)
        whole = (x[..., 0] * 4).round().to(torch.int64)
        doubled = z.to(torch.complex128) * 1.5
        z = z.type(z.dtype) + z.abs().type(z.dtype) + whole.to(z.dtype) + doubled.to(z.dtype)
        written = torch.where(whole[:1] > 0, z[:1], whole.to(x.dtype))
        return torch.view_as_real(z + written)


class Products(nn.Module):
    """Matrix products and einsum."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """``[2, 4, 3, 2]`` and ``[2, 3, 5, 2]`` to ``[2, 4, 5, 2]``."""
        z, w = torch.view_as_complex(x), torch.view_as_complex(y)
        return torch.view_as_real(z @ w + torch.einsum("bij,bjk->bik", z, w) * z.real.sum())


class Constants(nn.Module):
    """Complex buffers and parameters."""

    twiddle: Tensor

    def __init__(self) -> None:
        """A complex buffer and a complex parameter."""
        super().__init__()
        self.register_buffer("twiddle", torch.polar(torch.ones(8), torch.arange(8.0)))
        self.gain = nn.Parameter(torch.complex(torch.randn(2, 1), torch.randn(2, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """``[2, 8, 2]`` to ``[2, 8, 2]``."""
        return torch.view_as_real(torch.view_as_complex(x) * self.twiddle * self.gain + self.twiddle)


class Unknown(nn.Module):
    """Calls an operator that has no complex lowering."""

    def forward(self, x: Tensor) -> Tensor:
        """``[2, 8, 2]`` to ``[2, 8, 2]``."""
        return torch.view_as_real(torch.view_as_complex(x).cumprod(-1))


class AllReal(nn.Module):
    """Has nothing complex in it."""

    def forward(self, x: Tensor) -> Tensor:
        """``[2, 8, 2]`` to ``[2, 8, 2]``."""
        return x.abs().permute(1, 0, 2) + 1
