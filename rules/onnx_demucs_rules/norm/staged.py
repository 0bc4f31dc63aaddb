"""Means over long rows, taken in stages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

# Rows up to this length lose nothing that shows: 40 dB less than one float32 rounding error.
SHORT = 2000

# Lengths that a dimension of open size is split by.
ROWS = range(64, 1, -1)


def row_length(x: Tensor, dims: tuple[int, ...]) -> int:
    """The number of elements that a mean over these dimensions averages."""
    return math.prod(x.shape[dim] for dim in dims)


def is_long(x: Tensor, dims: tuple[int, ...]) -> bool:
    """True if a mean over these dimensions is long enough, or open."""
    if any(not isinstance(x.shape[dim], int) for dim in dims):
        return True
    return row_length(x, dims) > SHORT


def mean(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The mean over some dimensions, which are kept with size 1.

    Each dimension is a stage of its own, and a long one is split in two stages of about its square
    root: the rounding error of a sum grows with the number of terms added one after another, so that
    many short sums beat a long one (Higham, Accuracy and Stability of Numerical Algorithms, 4.2). A stage
    is a sum and a division: of two ReduceMean in a row onnxsim makes one, over axes that are not theirs.
    """
    for dim in sorted((dim % x.ndim for dim in dims), reverse=True):
        x = _mean_of_one(x, dim)
    return x


def _mean_of_one(x: Tensor, dim: int) -> Tensor:
    length = x.shape[dim]
    if not isinstance(length, int):
        return _mean_of_open(x, dim)
    if length <= math.isqrt(SHORT) ** 2:
        return x.sum(dim, keepdim=True) / length
    rows = _divisor_near_root(length)
    if rows is None:
        rows = math.isqrt(length)
        covered = rows * (length // rows)
        head = mean(x.narrow(dim, 0, covered), (dim,)) * (covered / length)
        tail = x.narrow(dim, covered, length - covered).sum(dim, keepdim=True) / length
        return head + tail
    per_row = length // rows
    of_rows: Tensor = x.unflatten(dim, (rows, per_row)).sum(dim + 1) / per_row
    return of_rows.sum(dim, keepdim=True) / rows


def _mean_of_open(x: Tensor, dim: int) -> Tensor:
    """A mean of open size, in stages of what divides it."""
    row = _known_divisor(x.shape[dim])
    if row is None:
        return _mean_beside_zeros(x, dim)
    while row is not None:
        x = _sum_of_rows(x, dim, row) / row
        row = _known_divisor(x.shape[dim])
    return x.mean(dim, keepdim=True)


def _mean_beside_zeros(x: Tensor, dim: int) -> Tensor:
    """A mean of any size, in two stages of rows.

    Zeros fill up the rows, which add nothing to a sum. There are two rows or more, since torch.export asks
    whether a size is 1.
    """
    length, row = x.shape[dim], ROWS[0]
    for _ in range(2):
        count = (x.shape[dim] + 2 * row - 1) // row
        filled = F.pad(x, (0, 0) * (x.ndim - 1 - dim) + (0, count * row - x.shape[dim]))
        x = _sum_of_rows(filled, dim, row)
    return x.sum(dim, keepdim=True) / torch.scalar_tensor(length, dtype=x.dtype)


def _sum_of_rows(x: Tensor, dim: int, row: int) -> Tensor:
    """``[…, n · row, …]`` → ``[…, n, …]``."""
    total: Tensor = x.unflatten(dim, (-1, row)).sum(dim + 1)
    return total


def _known_divisor(length: Any) -> int | None:
    """The largest of :data:`ROWS` that divides an open size.

    The symbols' common factor is asked for, since each ``length % row`` would be a node of the trace.
    """
    factor, _ = length.node.expr.as_content_primitive()
    return next((row for row in ROWS if factor % row == 0), None)


def _divisor_near_root(length: int) -> int | None:
    """The divisor closest to the root, within a factor of 8."""
    root = math.isqrt(length)
    return next((rows for rows in range(root, root // 8, -1) if length % rows == 0), None)


def variance(centred: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The biased variance of values whose mean is 0."""
    return mean(centred * centred, dims)
