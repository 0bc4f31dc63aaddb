"""Rules and models that the engine's tests are made of."""

from typing import Any

import torch
from torch import Tensor, nn

from onnx_demucs_compiler.rules import EXACT, Case, Rule, Stage
from onnx_demucs_rules.examples import small_htdemucs

aten = torch.ops.aten

FIRES = Case("fires", nn.ReLU, ((2, 8),))
REFUSES = Case("refuses", nn.ReLU, ((2,),), fires=0, because="too small")


def make_rule(name: str = "a-rule", stage: Stage = Stage.SURGERY, **changes: Any) -> Rule:
    """A rule that the constructor takes, changed as told."""
    needs_ops = stage in (Stage.DECOMPOSE, Stage.TRANSLATE)
    facts = {
        "why": "Because.",
        "numerics": EXACT,
        "implementation": lambda *_: 0,
        "ops": (aten.relu.default,) if needs_ops else (),
        "cases": (FIRES, REFUSES),
    }
    return Rule(name=name, stage=stage, **(facts | changes))


class TwoStems(nn.Module):
    """Stems by one convolution: what compiles in about a second."""

    def __init__(self) -> None:
        super().__init__()
        self.sources = ["speech", "noise"]
        self.samplerate, self.audio_channels, self.segment = 8000, 2, 0.1
        self.convolution = nn.Conv1d(2, 4, 3, padding=1)

    def forward(self, mix: Tensor) -> Tensor:
        return self.convolution(mix).unflatten(1, (2, 2))


def shallow_htdemucs(**options: Any) -> nn.Module:
    """An HTDemucs of one layer, which compiles in a third of the time of a useful one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return small_htdemucs(depth=1, **options)


class Difference(nn.Module):
    """A stem that is the difference of two products, ``gain`` times as loud.

    Of the bare one eight bits keep nothing; the enlarged one half precision ruins.
    """

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.sources = ["speech", "noise"]
        self.samplerate, self.audio_channels, self.segment = 8000, 2, 0.1
        self.gain = gain
        self.first = nn.Conv1d(2, 64, 9, padding=4, bias=False)
        self.last = nn.Conv1d(64, 2, 9, padding=4, bias=False)
        self.one, self.other = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
        with torch.no_grad():
            self.other.weight.copy_(self.one.weight + 1e-4 * torch.randn(64, 64))

    def forward(self, mix: Tensor) -> Tensor:
        rows = self.first(mix).tanh().transpose(1, 2)
        speech, other = self.one(rows), self.other(rows)
        stems = speech, self.gain * (speech - other)
        return torch.stack([self.last(each.transpose(1, 2)) for each in stems], dim=1)


class Deep(nn.Module):
    """Stems by convolutions and products, of which one weight has a wild outlier: eight bits ruin it."""

    def __init__(self) -> None:
        super().__init__()
        self.sources = ["speech", "noise"]
        self.samplerate, self.audio_channels, self.segment = 8000, 2, 0.1
        self.first = nn.Conv1d(2, 64, 9, padding=4)
        self.spoilt, self.sound = nn.Linear(64, 64), nn.Linear(64, 64)
        self.kernel = nn.Conv1d(64, 64, 3, padding=1)
        self.last = nn.Conv1d(64, 4, 9, padding=4)
        with torch.no_grad():
            self.spoilt.weight[:, 0] = 0
            self.spoilt.weight[range(64), range(64)] += 30

    def forward(self, mix: Tensor) -> Tensor:
        rows = self.first(mix).tanh().transpose(1, 2)
        rows = rows + self.sound(self.spoilt(rows)).tanh()
        return self.last(self.kernel(rows.transpose(1, 2)).tanh()).unflatten(1, (2, 2))


def two_stems() -> TwoStems:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return TwoStems().eval()


def deep_stems() -> Deep:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Deep().eval()
