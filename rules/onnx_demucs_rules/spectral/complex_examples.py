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
        empty[:, 1], empty[:, 2, ::2] = 0, torch.tensor(1 + 2j)
        empty = empty + torch.fill(z, 3) + torch.fill(z, x.mean())
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


class Functions(nn.Module):
    """Elementary functions, where they are smooth."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[2, 8, 2]`` to as many real numbers for each."""
        z = torch.view_as_complex(x)
        w = z + 3
        results = (
            z.exp(), torch.exp(1j * x[..., 0]), w.log(), w.log2(), w.log10(), z.sqrt(), (-w).sqrt(),
            w.rsqrt(), 1 / w, w.reciprocal(), z**2, z.square(), z**5, w**-3, w**0.5, w**-0.5, w**1.5,
            w ** (1 + 1j), w**z, 2**z, z**0, w.sgn(), z.sin(), z.cos(), z.sinh(), z.cosh(),
            (z / 2).tan(), (20 * z).tanh(), z.sigmoid(), z.expm1(), w.log1p(), torch.lerp(z, w, 0.25),
            torch.addcmul(z, w, z, value=2), torch.addcdiv(z, z, w),
        )  # fmt: skip
        return tuple(torch.view_as_real(result) for result in results)


class AtZero(nn.Module):
    """Functions with a value of their own at zero."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[2, 8, 2]`` to as many real numbers for each."""
        z = torch.view_as_complex(x)
        z = z * (z.abs() > 1)
        return tuple(torch.view_as_real(result) for result in (z.sqrt(), z.sgn(), z**1.5, z**0.0, z**3))


class Reductions(nn.Module):
    """Sums, products, moments and norms."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[2, 3, 8, 2]`` to real numbers."""
        z = torch.view_as_complex(x)
        complex_ones = (
            z.prod(-1), z.prod(1, keepdim=True), z[0, 0].prod(), z.cumsum(1), z.sum(), z.mean((0, 2)),
            torch.diff(z, dim=-1), torch.trapezoid(z, dim=1),
        )  # fmt: skip
        real_ones = (
            z.var(-1), z.std((1, 2), correction=0, keepdim=True), z.var(), torch.linalg.vector_norm(z, dim=1),
            torch.linalg.norm(z, dim=(1, 2)), z.norm(p=1, dim=-1), torch.linalg.vector_norm(z, float("inf")),
            torch.var_mean(z, -1)[0], z.std(), torch.var(z, 1, True),
        )  # fmt: skip
        return *(torch.view_as_real(result) for result in complex_ones), *real_ones


class Comparisons(nn.Module):
    """Questions about complex numbers."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[2, 8, 2]`` to truth values."""
        z = torch.view_as_complex(x)
        w = z * (z.abs() > 1)
        return w == 0, w != 0, w == z, w != z, z.isfinite(), z.isnan(), z.isinf(), torch.isclose(w, z)


class Products(nn.Module):
    """Products of matrices and of what einsum names."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """``[2, 4, 3, 2]`` and ``[2, 3, 5, 2]`` to real numbers."""
        z, w = torch.view_as_complex(x), torch.view_as_complex(y)
        row, column = z[0, 0], w[0, :, 0]
        results = (
            z @ w, z[0] @ w[0], z[0] @ column, torch.einsum("bij,bjk->bik", z, w),
            torch.einsum("bij,bjk,bkl->bil", z, w, w.mT), torch.einsum("bij->ji", z),
            torch.outer(row, column), torch.dot(row, column), torch.vdot(row, column), torch.kron(z[0], w[0]),
            torch.addmm(z[0] @ w[0], z[0], w[0], beta=0.5, alpha=2), torch.baddbmm(z @ w, z, w),
            torch.tensordot(z, w, dims=([2], [1])), torch.linalg.multi_dot([z[0], w[0], w[1].mH]),
        )  # fmt: skip
        return tuple(torch.view_as_real(result.resolve_conj()) for result in results)


class ComplexLayers(nn.Module):
    """Linear layers and convolutions with complex weights."""

    def __init__(self) -> None:
        """Make complex weights of real ones."""
        super().__init__()
        shapes = {"linear": (5, 8), "conv": (4, 3, 3), "grouped": (3, 1, 2), "transposed": (3, 2, 4)}
        self.weights = nn.ParameterDict({name: torch.randn(*shape, 2) for name, shape in shapes.items()})
        self.bias = nn.Parameter(torch.randn(5, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``[2, 3, 8, 2]`` to real numbers."""
        z, bias = torch.view_as_complex(x), torch.view_as_complex(self.bias)
        weights = {name: torch.view_as_complex(weight) for name, weight in self.weights.items()}
        results = (
            F.linear(z, weights["linear"], bias), F.linear(z[0], weights["linear"], bias),
            F.conv1d(z, weights["conv"], bias[:4], padding=1), F.conv1d(z, weights["grouped"], groups=3),
            F.conv_transpose1d(z, weights["transposed"], bias[:2], stride=2),
        )  # fmt: skip
        return tuple(torch.view_as_real(result) for result in results)


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
