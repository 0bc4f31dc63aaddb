"""Means over long rows, taken in stages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch.fx.experimental.symbolic_shapes import statically_known_true

if TYPE_CHECKING:
    from torch import Tensor

# Rows up to this length lose nothing that shows: 40 dB less than one float32 rounding error.
SHORT = 2000

# Lengths that a dimension of open size is split by.
ROWS = range(64, 1, -1)


def row_length(x: Tensor, dims: tuple[int, ...]) -> int:
    """How many elements a mean over these dimensions averages."""
    return math.prod(x.shape[dim] for dim in dims)


def is_long(x: Tensor, dims: tuple[int, ...]) -> bool:
    """Whether a mean over these dimensions is worth taking in stages; over one of open size it is."""
    if any(not isinstance(x.shape[dim], int) for dim in dims):
        return True
    return row_length(x, dims) > SHORT


def mean(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The mean over some dimensions, which are kept with size 1.

    Each dimension is a stage of its own, and a long one is split in two stages of about its square
    root: the rounding error of a sum grows with the number of terms added one after another, so that
    many short sums beat a long one (Higham, Accuracy and Stability of Numerical Algorithms, 4.2).
    """
    for dim in sorted((dim % x.ndim for dim in dims), reverse=True):
        x = _mean_of_one(x, dim)
    return x


def _mean_of_one(x: Tensor, dim: int) -> Tensor:
    length = x.shape[dim]
    if not isinstance(length, int):
        return _mean_of_open(x, dim)
    if length <= math.isqrt(SHORT) ** 2:
        return x.mean(dim, keepdim=True)
    rows = _divisor_near_root(length)
    if rows is None:
        rows = math.isqrt(length)
        covered = rows * (length // rows)
        head = mean(x.narrow(dim, 0, covered), (dim,)) * (covered / length)
        tail = x.narrow(dim, covered, length - covered).sum(dim, keepdim=True) / length
        return head + tail
    split: Tensor = x.unflatten(dim, (rows, length // rows))
    return split.mean(dim + 1).mean(dim, keepdim=True)


def _mean_of_open(x: Tensor, dim: int) -> Tensor:
    """Stage by stage, as long as a divisor is known of a size that is not."""
    length = x.shape[dim]
    row = next((row for row in ROWS if statically_known_true(length % row == 0)), None)
    if row is None:
        return x.mean(dim, keepdim=True)
    return _mean_of_open(x.unflatten(dim, (length // row, row)).mean(dim + 1), dim)


def _divisor_near_root(length: int) -> int | None:
    """The divisor closest to the root, if it is within a factor of 8 of it."""
    root = math.isqrt(length)
    return next((rows for rows in range(root, root // 8, -1) if length % rows == 0), None)


def variance(centred: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The biased variance of values whose mean is 0."""
    return mean(centred * centred, dims)
