"""Small models for the cases of this folder's rules."""

from __future__ import annotations

from torch import nn


class Slopes(nn.Sequential):
    """A convolution and a PReLU."""

    def __init__(self, slopes: int = 1) -> None:
        """``slopes`` is 1, or 4 for one to each channel."""
        super().__init__(nn.Conv1d(4, 4, 3), nn.PReLU(slopes))
