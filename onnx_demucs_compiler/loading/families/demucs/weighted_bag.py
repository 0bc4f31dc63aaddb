"""A bag as one module: its members' estimates, weighted per source."""

from collections.abc import Sequence
from typing import Any

import torch
from demucs.apply import BagOfModels
from torch import Tensor, nn

from onnx_demucs_compiler.errors import CompilerError


class WeightedBag(nn.Module):
    """The model of demucs' BagOfModels, with a ``forward`` of its own.

    A member that comes several times runs once with its weights added; one of weight 0 does not run. At the
    borders of a segment upstream gives time-domain Demucs members the audio around it; here they get zeros.

    Attributes:
        models: The distinct members that run.
        weights: One number per source for each of ``models``.
        sources: The stems in the order of the output.
        samplerate: In Hz.
        audio_channels: Channels of the input.
        segment: Seconds; the smallest of the members'.
    """

    def __init__(self, bag: BagOfModels, name: str = "the bag") -> None:
        """Take over the members of ``bag``.

        Raises:
            CompilerError: If the weights of a source sum to 0 or the members' segments differ.
        """
        super().__init__()
        members, weights = _distinct(bag)
        self.models = nn.ModuleList(members)
        self.weights = weights
        self.sources = list(bag.sources)
        self.samplerate = bag.samplerate
        self.audio_channels = bag.audio_channels
        self.segment = _common_segment(members, bag.samplerate, name)
        self._shares = _shares(weights, self.sources, name)

    def forward(self, mix: Tensor) -> Tensor:
        """Separate ``[batch, channels, samples]`` into ``[batch, sources, channels, samples]``."""
        return self.combine([member(mix) for member in self.models])

    def combine(self, outputs: Sequence[Tensor]) -> Tensor:
        """The weighted sum of one tensor per model, sources on axis 1."""
        if all(len(set(shares)) == 1 for shares in self._shares):
            return _sum([_scaled(out, shares[0]) for out, shares in zip(outputs, self._shares, strict=True)])
        return torch.cat([self._source(outputs, k) for k in range(len(self.sources))], dim=1)

    def _source(self, outputs: Sequence[Tensor], k: int) -> Tensor:
        pairs = zip(outputs, self._shares, strict=True)
        return _sum([_scaled(out[:, k : k + 1], shares[k]) for out, shares in pairs if shares[k] != 0])


def _distinct(bag: Any) -> tuple[list[nn.Module], list[list[float]]]:
    totals: dict[nn.Module, list[float]] = {}
    for member, weights in zip(bag.models, bag.weights, strict=True):
        before = totals.get(member, [0.0] * len(weights))
        totals[member] = [float(a + b) for a, b in zip(before, weights, strict=True)]
    used = {member: weights for member, weights in totals.items() if any(weights)}
    return list(used), list(used.values())


def _common_segment(members: Sequence[Any], samplerate: int, name: str) -> Any:
    segments = [member.segment for member in members]
    if segments and (max(segments) - min(segments)) * samplerate > 1:
        listing = ", ".join(
            f"{type(member).__name__} {index}: {float(member.segment):g} s"
            for index, member in enumerate(members)
        )
        raise CompilerError(f"the members of {name} have different segments ({listing}); give it a segment")
    return min(segments, default=None)


def _shares(weights: Sequence[Sequence[float]], sources: Sequence[str], name: str) -> list[list[float]]:
    totals = [sum(row[k] for row in weights) for k in range(len(sources))]
    for source, total in zip(sources, totals, strict=True):
        if total == 0:
            raise CompilerError(f"the weights that {name} gives the source {source} sum to 0; correct them")
    return [[weight / total for weight, total in zip(row, totals, strict=True)] for row in weights]


def _scaled(tensor: Tensor, share: float) -> Tensor:
    return tensor if share == 1 else tensor * share


def _sum(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
