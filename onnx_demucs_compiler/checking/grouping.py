"""The choice of weights for eight bits within a gate.

It knows weights by their names and what eight bits save for each, and graphs by what comes out of them.

1. All of them in eight bits: where that passes there is nothing to search.
2. None of them: where that fails no choice can pass.
3. Neighbours are taken together, and each group is tried alone: the noise that it adds is its damage.
4. Groups that do most damage for what they save are kept out of eight bits, as few as pass on every signal;
   how many is bisected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from onnx_demucs_compiler.checking.fidelity import Gate, Measurement

    Keep = tuple[str, ...]
    Measure = Callable[[Keep], Sequence[Measurement]]
    """What the graph gives in which these weights are kept out of eight bits."""

SHARE = 24
"""A group saves at most one part in so many of all savings, unless a single weight is larger,"""

MEMBERS = 8
"""and has at most so many weights: those of the outer layers are small, and their damage is not."""


@dataclass(frozen=True)
class Group:
    """Weights that are taken together.

    Attributes:
        weights: by their initializers' names.
        saved: what eight bits save for them: bytes, or floating point operations that integer ones replace.
        margin_db: what the worst output on the first signal has to spare with these alone in eight bits.
        kept: whether they are kept out of eight bits.
    """

    weights: tuple[str, ...]
    saved: int
    margin_db: float
    kept: bool = False


@dataclass(frozen=True)
class Choice:
    """The outcome of the search.

    Attributes:
        keep: the weights to keep out of eight bits.
        groups: as they were tried, those that do most damage for what they save first; none where all weights
            hold at once.
    """

    keep: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()


class OutOfReachError(CompilerError):
    """The gate is out of reach, even without eight bits.

    Attributes:
        measurements: of that graph.
    """

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self.measurements = tuple(measurements)
        super().__init__("eight bits are not what keeps the graph below its gate")


def weights_to_keep(savings: Mapping[str, int], measure: Measure, probe: Measure, gate: Gate) -> Choice:
    """The fewest weights to keep out of eight bits.

    Args:
        savings: what could be in eight bits, in the order of the graph: what that saves, by name.
        measure: on every signal that the gate has to hold on.
        probe: on one signal, for what is done once for each group.
        gate: for every output.

    Raises:
        OutOfReachError: no choice passes.
    """

    def holds(keep: Keep) -> bool:
        return all(map(gate.passes, measure(keep)))

    if holds(()):
        return Choice()
    everything = tuple(savings)
    at_best = measure(everything)
    if not all(map(gate.passes, at_best)):
        raise OutOfReachError(at_best)
    rounding = _noise(gate.least_margin_db(probe(everything)))

    def tried(weights: Keep) -> Group:
        margin = gate.least_margin_db(probe(tuple(name for name in everything if name not in weights)))
        return Group(weights, _sum(weights, savings), margin)

    def damage(group: Group) -> float:
        return (_noise(group.margin_db) - rounding) / group.saved

    ranked = sorted(map(tried, _neighbours(savings)), key=damage, reverse=True)
    count = _fewest(ranked, holds)
    groups = [replace(group, kept=index < count) for index, group in enumerate(ranked)]
    return Choice(_joined(ranked[:count]), tuple(groups))


def _neighbours(savings: Mapping[str, int]) -> list[Keep]:
    limit = sum(savings.values()) / SHARE
    groups: list[list[str]] = []
    for name, saved in savings.items():
        fits = groups and len(groups[-1]) < MEMBERS and _sum(groups[-1], savings) + saved <= limit
        if fits:
            groups[-1].append(name)
        else:
            groups.append([name])
    return [tuple(group) for group in groups]


def _sum(names: Iterable[str], savings: Mapping[str, int]) -> int:
    return sum(savings[name] for name in names)


def _noise(margin_db: float) -> float:
    """Noise power, where that which the gate lets pass is 1."""
    return float(10 ** (-margin_db / 10))


def _fewest(ranked: Sequence[Group], holds: Callable[[Keep], bool]) -> int:
    """The length of the shortest prefix of the ranking that holds.

    All of the ranking is known to hold, none of it is known not to.
    """
    too_few, enough = 0, len(ranked)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if holds(_joined(ranked[:middle])):
            enough = middle
        else:
            too_few = middle
    return enough


def _joined(groups: Sequence[Group]) -> Keep:
    return tuple(name for group in groups for name in group.weights)
