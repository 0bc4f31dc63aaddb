"""The torch module that the artifact of ``tiny_model`` would come from."""

from fractions import Fraction

import torch
from tiny_model import KERNEL, TinyModel


class TorchTwin(torch.nn.Module):
    """``TinyModel`` with the attributes that ``demucs.apply.apply_model`` asks for."""

    def __init__(self, tiny: TinyModel) -> None:
        super().__init__()
        self.sources = list(tiny.sources)
        self.samplerate = tiny.sample_rate
        self.audio_channels = tiny.channels
        self.segment = Fraction(tiny.segment, tiny.sample_rate)
        self.kernel = torch.nn.Parameter(torch.from_numpy(tiny.kernel))
        self.envelope = torch.from_numpy(tiny.envelope)

    def valid_length(self, length: int) -> int:
        return len(self.envelope)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        filtered = torch.nn.functional.conv1d(mix, self.kernel, padding=KERNEL // 2)
        split = filtered.reshape(len(mix), len(self.sources), self.audio_channels, -1)
        return split * self.envelope
