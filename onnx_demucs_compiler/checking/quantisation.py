"""The search for weights that eight bits hold within a gate.

The search knows tensors by their names and bytes, and graphs by what comes out of them.

1. All of them in eight bits: where that keeps the floor there is nothing to search.
2. None of them: where that falls below the floor no choice can keep it.
3. Neighbours are taken together, and each group is quantised alone: the noise that it adds is its damage.
4. Groups that do most damage for the bytes they save are kept out of eight bits, as few as keep the floor on
   every signal; how many is bisected.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnx_demucs_compiler.artifact.compiled import serialized
from onnx_demucs_compiler.checking.fidelity import worst_db
from onnx_demucs_compiler.checking.timing import best_seconds
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.graph.storage import INT8, STORED
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.stages.driver import apply_rules
from onnx_demucs_compiler.tracing.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onnx_demucs_compiler.checking.fidelity import Measurement, References
    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.rules.rule import Rule

    Keep = tuple[str, ...]
    Measure = Callable[[Keep], Sequence[Measurement]]
    """What the graph gives in which these tensors are kept out of eight bits."""

SHARE = 24
"""A group holds at most one part in so many of all bytes, unless a single tensor is larger,"""

MEMBERS = 8
"""and at most so many tensors: those of the outer layers are small, and their damage is not."""


def search(
    graph: ir.Model, rules: tuple[Rule, ...], options: Options, references: References, floor_db: float
) -> Keep:
    """The weights of a graph that eight bits must not hold.

    Args:
        graph: in float32; it is not changed.
        rules: of the stage STORE.
        options: compiled for.
        references: what the graph is measured against; on the first signal for each group of weights, and on
            all for what is chosen.
        floor_db: the SNR in dB that every output has to keep.

    Raises:
        CompilerError: the floor is out of reach.
    """

    def quantised(keep: Keep) -> ir.Model:
        model = graph.clone()
        with quiet():
            apply_rules(model, rules, replace(options, keep=keep), Recorder())
        return model

    def measured(keep: Keep, *, first_only: bool = False) -> Sequence[Measurement]:
        return references.measure(_bytes_of(quantised(keep)), first_only=first_only)

    sizes = {
        name: value.const_value.nbytes
        for name, value in quantised(()).graph.initializers.items()
        if value.const_value is not None and value.metadata_props.get(STORED) == INT8
    }
    return weights_to_keep(sizes, measured, partial(measured, first_only=True), floor_db)


def speedup(references: References, plain: ir.Model, data: bytes) -> float:
    """The speed of a serialised graph relative to one in float32.

    Each counts by its best run; the runs alternate.
    """
    slow, fast = best_seconds(references, [_bytes_of(plain), data])
    return slow / fast


def _bytes_of(model: ir.Model) -> bytes:
    with quiet():
        return serialized(ir.to_proto(model))


def weights_to_keep(sizes: Mapping[str, int], measure: Measure, probe: Measure, floor_db: float) -> Keep:
    """The names of the fewest tensors to keep out of eight bits.

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
    """The worst output's noise power for a signal power of 1."""
    return float(10 ** (-worst_db(measurements) / 10))


def _fewest(ranked: Sequence[Keep], holds: Callable[[Keep], bool]) -> Keep:
    """The shortest prefix of the ranking that holds.

    All of the ranking is known to hold, none of it is known not to.
    """
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
