"""Which weights may be stored in eight bits, so that every output keeps a floor of SNR.

The search knows tensors by their names and bytes, and graphs by what comes out of them.

1. All of them in eight bits: where that keeps the floor there is nothing to search.
2. None of them: where that falls below the floor no choice can keep it.
3. Neighbours are taken together, and each group is quantised alone: the noise that it adds is its damage.
4. Groups that do most damage for the bytes they save are kept out of eight bits, as few as keep the floor on
   every signal; how many is bisected.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnx_demucs_compiler.artifact import serialized
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.fidelity import References, open_session
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.stages.quiet import quiet
from onnx_demucs_compiler.stages.storage import INT8, STORED
from onnx_demucs_compiler.stages.surgery import operated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from onnx_demucs_compiler.fidelity import Measurement
    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.rule import Rule
    from onnx_demucs_compiler.subject import Subject

    Keep = tuple[str, ...]
    Measure = Callable[[Keep], Sequence[Measurement]]
    """What the graph gives in which these tensors are kept out of eight bits."""

SHARE = 24
"""A group holds at most one part in so many of all bytes, unless a single tensor is larger,"""

MEMBERS = 8
"""and at most so many tensors: those of the outer layers are small, and their damage is not."""


ROUNDS = 3


class Quantiser:
    """The rules that decide how weights are stored, tried on a graph that they have not been applied to."""

    def __init__(
        self,
        graph: ir.Model,
        rules: tuple[Rule, ...],
        options: Options,
        subject: Subject,
        signals: Mapping[str, tuple[Tensor, ...]],
    ) -> None:
        """Look at a graph.

        Args:
            graph: in float32; it is not changed.
            rules: of the last stage.
            options: compiled for.
            subject: what the graph is measured against.
            signals: on these, and on the first of them for each group of weights.
        """
        self._graph, self._rules, self._options = graph, rules, options
        self._references = References(subject, signals)

    def keep(self, floor_db: float) -> Keep:
        """Search for the weights that must not be stored in eight bits.

        Raises:
            CompilerError: the floor is out of reach.
        """
        quantised = self.quantised((), Recorder())
        sizes = {
            name: value.const_value.nbytes
            for name, value in quantised.graph.initializers.items()
            if value.const_value is not None and value.metadata_props.get(STORED) == INT8
        }
        return weights_to_keep(sizes, self._tried, self._probed, floor_db)

    def speedup(self, data: bytes) -> float:
        """How many times as fast as in float32 a graph runs: the best of runs in turn."""
        sessions = [open_session(each) for each in (_bytes_of(self._graph), data)]
        rounds = [[self._references.seconds(session) for session in sessions] for _ in range(ROUNDS)]
        plain, quantised = (min(times[each] for times in rounds) for each in range(2))
        return plain / quantised

    def quantised(self, keep: Keep, recorder: Recorder) -> ir.Model:
        """A copy of the graph with all weights but these in eight bits."""
        model = self._graph.clone()
        with quiet():
            operated(model, self._rules, replace(self._options, keep=keep), recorder)
        return model

    def measure(self, data: bytes) -> tuple[Measurement, ...]:
        """A serialised graph against the model in float64."""
        return self._references.measure(data)

    def _tried(self, keep: Keep) -> Sequence[Measurement]:
        return self.measure(_bytes_of(self.quantised(keep, Recorder())))

    def _probed(self, keep: Keep) -> Sequence[Measurement]:
        data = _bytes_of(self.quantised(keep, Recorder()))
        return self._references.measure(data, first_only=True)


def _bytes_of(model: ir.Model) -> bytes:
    with quiet():
        return serialized(ir.to_proto(model))


def weights_to_keep(sizes: Mapping[str, int], measure: Measure, probe: Measure, floor_db: float) -> Keep:
    """The names of as few tensors as have to be kept out of eight bits.

    Args:
        sizes: what could be stored in eight bits, in the order of the graph: bytes by name.
        measure: on every signal that the floor has to hold on.
        probe: on one signal, for what is done once for each group.
        floor_db: in dB.

    Raises:
        CompilerError: the floor is out of reach.
    """

    def holds(keep: Keep) -> bool:
        return all(item.passes(floor_db) for item in measure(keep))

    if holds(()):
        return ()
    everything = tuple(sizes)
    if not holds(everything):
        best = worst_db(measure(everything))
        raise CompilerError(
            f"int8 cannot keep {floor_db:g} dB: even in float16 the weights leave a stem with {best:.1f} dB; "
            "ask for less (--min-snr), or for another precision"
        )
    rounding = _noise(probe(everything))

    def damage_per_byte(group: Keep) -> float:
        alone = _noise(probe(tuple(name for name in everything if name not in group)))
        return (alone - rounding) / _bytes(group, sizes)

    ranked = sorted(_groups(sizes), key=damage_per_byte, reverse=True)
    return _fewest(ranked, holds)


def worst_db(measurements: Sequence[Measurement]) -> float:
    """The SNR of the worst output that is not silent."""
    return min((item.snr_db for item in measurements if not item.silent), default=math.inf)


def _groups(sizes: Mapping[str, int]) -> list[Keep]:
    limit = sum(sizes.values()) / SHARE
    groups: list[list[str]] = []
    for name, size in sizes.items():
        fits = groups and len(groups[-1]) < MEMBERS and _bytes(groups[-1], sizes) + size <= limit
        if fits:
            groups[-1].append(name)
        else:
            groups.append([name])
    return [tuple(group) for group in groups]


def _bytes(names: Sequence[str], sizes: Mapping[str, int]) -> int:
    return sum(sizes[name] for name in names)


def _noise(measurements: Sequence[Measurement]) -> float:
    """The noise power in the worst output for a signal power of 1."""
    return float(10 ** (-worst_db(measurements) / 10))


def _fewest(ranked: Sequence[Keep], holds: Callable[[Keep], bool]) -> Keep:
    """The shortest beginning of the ranking that holds; all of it is known to, nothing is known not to."""
    too_few, enough = 0, len(ranked)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if holds(_joined(ranked[:middle])):
            enough = middle
        else:
            too_few = middle
    return _joined(ranked[:enough])


def _joined(groups: Sequence[Keep]) -> Keep:
    return tuple(name for group in groups for name in group)
