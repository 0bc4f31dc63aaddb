"""What the tests of this folder compile."""

import torch
from torch import Tensor, nn

from onnx_demucs_compiler import default

GATED = default.only("glu-as-two-convolutions", "dedupe-initializers")
MIX = torch.randn(1, 32, 64, generator=torch.Generator().manual_seed(0))


class Gated(nn.Module):
    """Two gated convolutions one after the other."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layers = [nn.Sequential(nn.Conv1d(32, 64, 3, padding=1), nn.GLU(1)) for _ in range(2)]
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x
