"""Complex values as two real tensors, since ONNX has no complex dtype."""

from __future__ import annotations

from dataclasses import dataclass

import torch


def with_axis_at(x: torch.Tensor, axis: int, place: int) -> torch.Tensor:
    """A tensor with one axis moved, by ``permute``.

    torch.onnx has no ``movedim``, and takes every program apart that holds one.

    Args:
        x: any tensor.
        axis: which to move; a negative one counts from the back, and so for ``place``.
        place: where it is in the result.
    """
    order = [dim for dim in range(x.ndim) if dim != axis % x.ndim]
    order.insert(place % x.ndim, axis % x.ndim)
    return x.permute(order)


@dataclass(frozen=True)
class Halves:
    """Real and imaginary part in one tensor.

    Attributes:
        tensor: the shape of the complex tensor with an axis of length 2 put in.
        axis: that axis, counted from the front.
    """

    tensor: torch.Tensor
    axis: int


@dataclass(frozen=True)
class ComplexPair:
    """A complex tensor during decomposition: two real tensors of its shape.

    The engine makes pairs of complex constants and sees to it that none reaches ONNX; arithmetic on
    pairs belongs to rules.

    Attributes:
        real: the real part.
        imag: the imaginary part.
        halves: the tensor that both are parts of, where there is one: what wants them together again
            need not copy.
    """

    real: torch.Tensor
    imag: torch.Tensor
    halves: Halves | None = None

    @classmethod
    def of(cls, halves: Halves) -> ComplexPair:
        """The pair whose parts lie in one tensor."""
        return cls(halves.tensor.select(halves.axis, 0), halves.tensor.select(halves.axis, 1), halves)

    def together(self, axis: int) -> torch.Tensor:
        """Real and imaginary part in one tensor, along a new axis.

        A negative axis counts from the back.
        """
        if self.halves is None:
            return torch.stack([self.real, self.imag], dim=axis)
        return with_axis_at(self.halves.tensor, self.halves.axis, axis)

    @property
    def shape(self) -> torch.Size:
        """The shape of the complex tensor that the pair stands for."""
        return self.real.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions of the complex tensor."""
        return self.real.ndim
