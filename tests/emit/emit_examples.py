"""Models that the tests of formats are made of."""

from collections.abc import Callable

from torch import Tensor, nn

from onnx_demucs_compiler.artifact.emitted import EmittedModel

Emit = Callable[[str], EmittedModel]
"""A small model in a format, by its name."""


class Halved(nn.Module):
    """A mix in two equal stems: what compiles in a second."""

    def __init__(self) -> None:
        super().__init__()
        self.sources = ["left", "right"]
        self.samplerate, self.audio_channels, self.segment = 8000, 2, 0.1

    def forward(self, mix: Tensor) -> Tensor:
        return (mix / 2).unsqueeze(1).expand(-1, 2, -1, -1)
