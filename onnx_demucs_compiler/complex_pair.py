"""How the engine carries complex values, which ONNX has no dtype for: as two real tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ComplexPair:
    """A complex tensor during decomposition: two real tensors of its shape.

    The engine makes pairs of complex constants and sees to it that none reaches ONNX; arithmetic on
    pairs belongs to rules.
    """

    real: torch.Tensor
    imag: torch.Tensor

    @property
    def shape(self) -> torch.Size:
        """The shape of the complex tensor that the pair stands for."""
        return self.real.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions of the complex tensor."""
        return self.real.ndim
