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
    """What a spectrogram model does with its mask."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``[2, 8, 2]`` and ``[2, 8]`` to ``[2, 8]``."""
        z = torch.view_as_complex(x)
        masked = torch.where(mask > 0, z / (1e-8 + z.abs()) * mask, z.conj())
        return masked.real + masked.imag * z.angle() - torch.polar(mask, mask).real


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
