"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


CROPPED = """
<ir_version: 8, opset_import: ["": 18]>
cropped (float[1, 8, 12, 20] x) => (float[1, 8, rows, 20] y)
    <float[1, 8, 1, 1] c = {1, 2, 3, 4, 5, 6, 7, 8}, int64[1] start = {0}, int64[1] end = {11},
     int64[1] axis = {2}>
{
    mean = ReduceMean<keepdims = 1>(x)
    cropped = Slice(x, start, end, axis)
    sum = Add(cropped, c)
    y = Neg(sum)
}
"""


class Selected(nn.Module):
    """Transposes a tensor and adds up what it selects of it."""

    indices: Tensor | None

    def __init__(
        self,
        perm: tuple[int, ...] = (0, 1, 3, 4, 2),
        indices: tuple[int, ...] = (),
        keep: bool = False,
    ) -> None:
        """``indices`` selects several at once; ``keep`` also uses the transposed tensor."""
        super().__init__()
        self.perm = perm
        self.keep = keep
        self.register_buffer("indices", torch.tensor(indices) if indices else None)

    def forward(self, x: Tensor) -> Tensor:
        """A tensor of five dimensions, the third of size 2."""
        transposed = torch.permute(x, self.perm)
        if self.indices is not None:
            return transposed.index_select(-1, self.indices)
        total = transposed.select(-1, 0) + 2 * transposed.select(-1, 1)
        return total.sum() + transposed if self.keep else total


class AddedToSlice(nn.Module):
    """Adds a tensor's start to a slice of it, in place."""

    def __init__(self, where: slice) -> None:
        """``where``, along the third dimension."""
        super().__init__()
        self.where = where

    def forward(self, x: Tensor) -> Tensor:
        """A tensor of four dimensions to the same."""
        y = 2 * x
        target = y[:, :, self.where]
        target += x[:, :, : target.shape[2]]
        return y


class RowBranch(nn.Module):
    """Gated residual branches on rows of an image, as in Demucs."""

    def __init__(
        self,
        blocks: int = 1,
        hidden: int = 2,
        gated: bool = True,
        shared: bool = False,
        perm: tuple[int, ...] = (0, 2, 1, 3),
    ) -> None:
        """``perm`` makes rows of 8 channels; ``shared`` adds one branch to all."""
        super().__init__()
        self.perm = perm
        self.shared = shared
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(8, hidden, 3, padding=1), nn.GELU(),
                *((nn.Conv1d(hidden, 16, 1), nn.GLU(1)) if gated else (nn.Conv1d(hidden, 8, 1), nn.Tanh())),
            )
            for _ in range(blocks)
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        """An image of four dimensions to the same."""
        swapped = image.permute(self.perm)
        rows = swapped.reshape(-1, *swapped.shape[2:])
        for block in self.blocks:
            rows = rows + block(rows[:1] if self.shared else rows)
        inverse = [self.perm.index(axis) for axis in range(4)]
        return rows.view(swapped.shape).permute(inverse)


def frequency_encoder(**options: Any) -> nn.Module:
    """An encoder layer of demucs, of 4 channels to 8."""
    from demucs.hdemucs import HEncLayer

    layer: nn.Module = HEncLayer(4, 8, **{"norm": False, "dconv_kw": {"depth": 1, "compress": 4}} | options)
    return layer


class TwoBranches(nn.Module):
    """The sum of two branches from one convolution."""

    def __init__(self, first: int, second: int) -> None:
        """Take the number of channels of the branches."""
        super().__init__()
        self.start = nn.Conv1d(4, 4, 3)
        self.first = nn.Sequential(nn.Conv1d(4, first, 3), nn.Tanh(), nn.Conv1d(first, 4, 3))
        self.second = nn.Sequential(nn.Conv1d(4, second, 3), nn.Tanh(), nn.Conv1d(second, 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 4, T]`` to the same, shorter."""
        y = self.start(x)
        total: Tensor = self.first(y) + self.second(y)
        return total


class Members(nn.ModuleList):
    """The sum of several models."""

    def __init__(self, *members: nn.Module) -> None:
        """Models of one shape."""
        super().__init__(members)

    def forward(self, x: Tensor) -> Tensor:
        """The common input of all to their common output."""
        return torch.stack([member(x) for member in self]).sum(0)


class Written(nn.Module):
    """Places of an axis, written one after the other."""

    def __init__(self, written: tuple[int, ...], places: int = 3, complex_values: bool = False) -> None:
        """Choose the places; ``complex_values`` are returned as two real ones."""
        super().__init__()
        self.complex_values = complex_values
        self.written = written
        self.places = places

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, C]`` to ``[B, T, places, C]``."""
        x = torch.complex(x, 2 * x) if self.complex_values else x
        collected = torch.ones(*x.shape[:2], self.places, x.shape[2], dtype=x.dtype)
        for count, place in enumerate(self.written):
            collected[:, :, place] = x + count
        return torch.view_as_real(collected) if self.complex_values else collected


class AddedAtPlaces(nn.Module):
    """Rows of a tensor added up at places of four."""

    def __init__(
        self,
        places: tuple[int, ...] | None = (0, 1, 1, 3, 0, 1, 2),
        dim: int = 1,
        onto: float = 0.0,
        rolled: bool = False,
        complex_values: bool = False,
    ) -> None:
        """Choose where rows go.

        Args:
            places: of the rows; by their size where there are none.
            dim: the axis of the rows.
            onto: the number that everything begins with.
            rolled: each column has other places.
            complex_values: with an imaginary part, returned as twice the columns.
        """
        super().__init__()
        self.places = places
        self.dim = dim
        self.onto = onto
        self.rolled = rolled
        self.complex_values = complex_values

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, C]`` to the same with an axis of 4."""
        if self.places is None:
            index = x.abs().clamp(max=3).to(torch.int64)
        else:
            shape = [-1 if axis == self.dim else 1 for axis in range(3)]
            index = torch.tensor(self.places).reshape(shape).expand_as(x)
        if self.rolled:
            index = (index + torch.arange(x.shape[2])) % 4
        source = torch.complex(x, 2 * x) if self.complex_values else x
        sizes = [4 if axis == self.dim else size for axis, size in enumerate(x.shape)]
        total = torch.full(sizes, self.onto, dtype=source.dtype).scatter_add(self.dim, index, source)
        return torch.view_as_real(total) if self.complex_values else total
