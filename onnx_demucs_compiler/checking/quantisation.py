"""Eight bits for the weights of a graph, and their gain."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnx_demucs_compiler.artifact.compiled import serialized
from onnx_demucs_compiler.checking.fidelity import audible, worst_db
from onnx_demucs_compiler.checking.grouping import Choice, OutOfReachError, weights_to_keep
from onnx_demucs_compiler.checking.timing import best_seconds
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.graph.flops import flops_by_weight
from onnx_demucs_compiler.graph.storage import COMPUTED, INT8, STORED
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.runtime.eight_bits import eight_bits
from onnx_demucs_compiler.stages.driver import apply_rules
from onnx_demucs_compiler.tracing.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx_demucs_compiler.checking.fidelity import Gate, Measurement, References
    from onnx_demucs_compiler.checking.promises import Promise
    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.rules.rule import Rule

    Keep = tuple[str, ...]

WORTHWHILE = 1.05
"""The least speed relative to float32 that is told from the noise of a measurement."""


class Quantiser:
    """A graph in float32 whose weights rules put into eight bits."""

    def __init__(
        self, graph: ir.Model, rules: tuple[Rule, ...], options: Options, references: References
    ) -> None:
        """Find what eight bits could hold; leave the graph unchanged.

        Args:
            graph: in float32.
            rules: of the stage STORE.
            options: compiled for.
            references: what the graph is measured against; on the first signal for each group of weights, and
                on all for what is chosen.
        """
        self._graph, self._rules, self._options, self._references = graph, rules, options, references
        self._sizes: dict[str, int] = {}
        self._only_stored: list[str] = []
        for name, value in self._quantised(()).graph.initializers.items():
            how = value.metadata_props.get(STORED)
            if how in (INT8, COMPUTED) and value.const_value is not None:
                self._sizes[name] = value.const_value.nbytes
            if how == INT8:
                self._only_stored.append(name)

    def smallest(self, gate: Gate) -> Choice:
        """As many bytes in eight bits as pass.

        Raises:
            CompilerError: the gate is out of reach.
        """
        probe = partial(self._measured, first_only=True)
        try:
            return weights_to_keep(self._sizes, self._measured, probe, gate)
        except OutOfReachError as error:
            raise CompilerError(
                f"int8 cannot keep {gate.min_snr_db:g} dB: even in float16 the weights leave a stem with "
                f"{worst_db(error.measurements):.1f} dB; ask for less (--min-snr), or for another precision"
            ) from error

    def fastest(self, gate: Gate) -> Choice:
        """As much arithmetic in eight bits as passes.

        Weights that would only be stored in eight bits are kept out: decoding them costs time.

        Raises:
            OutOfReachError: no choice passes.
        """
        arithmetic = flops_by_weight(self._graph)
        savings = {name: arithmetic.get(name, 1) for name in self._sizes if name not in self._only_stored}

        def measured(keep: Keep, *, first_only: bool = False) -> Sequence[Measurement]:
            return self._measured((*self._only_stored, *keep), first_only=first_only)

        choice = weights_to_keep(savings, measured, partial(measured, first_only=True), gate)
        return replace(choice, keep=(*self._only_stored, *choice.keep))

    def _quantised(self, keep: Keep) -> ir.Model:
        model = self._graph.clone()
        with quiet():
            apply_rules(model, self._rules, replace(self._options, keep=keep), Recorder())
        return model

    def _measured(self, keep: Keep, *, first_only: bool = False) -> Sequence[Measurement]:
        return self._references.measure(_bytes_of(self._quantised(keep)), first_only=first_only)


def options_for(
    promise: Promise, graph: ir.Model, rules: tuple[Rule, ...], options: Options, references: References
) -> tuple[Options, Choice]:
    """The options under which a graph is fastest within a promise.

    Weights that are not computed with in eight bits are rounded to float16, where that does not break it.

    Args:
        promise: that is to be kept.
        graph: in float32; it is not changed.
        rules: of the stage STORE.
        options: compiled for.
        references: what the graph is measured against.

    Raises:
        CompilerError: no choice keeps it.
    """
    for lossless in (False, True):
        tried = replace(options, lossless=lossless)
        try:
            choice = Quantiser(graph, rules, tried, references).fastest(promise.gate)
        except OutOfReachError as error:
            at_best = error
        else:
            return replace(tried, keep=choice.keep), choice
    raise CompilerError(
        f"quality={promise} cannot be kept: even in float32 "
        f"{promise.gate.shortfall(promise.gate.worst(at_best.measurements))}"
    ) from at_best


def account(
    promise: Promise,
    computed: int,
    choice: Choice,
    measurements: Sequence[Measurement],
) -> str:
    """The choice for a promise and its reason, in words.

    Args:
        promise: that is kept.
        computed: how many weights are computed with in eight bits.
        choice: how they were found.
        measurements: of the artifact.
    """
    gate, kept = promise.gate, sum(len(group.weights) for group in choice.groups if group.kept)
    able = computed + kept
    if not promise.reduced:
        chosen = "all of it in float32"
    elif not able:
        chosen = "no weight can be computed with in eight bits"
    else:
        chosen = f"{computed} of the {able} weights that can be are computed with in eight bits"
        chosen += ", and no more because a stem would break the promise" if kept else ""
    if heard := list(audible(measurements)):
        nearest = gate.worst(heard)
        spare = gate.margin_db(nearest)
        chosen += (
            f"; nearest to its limit is {nearest.output} on {nearest.signal}, with {spare:.1f} dB to spare"
        )
    return f"quality {promise} ({gate.words}): {chosen}"


def no_gain(promise: Promise, speed: float) -> tuple[str, ...]:
    """A warning where a promise buys no speed."""
    if speed >= WORTHWHILE:
        return ()
    lack = eight_bits().lack
    why = f", which {lack}" if lack else ""
    return (
        f"quality={promise} buys no speed on this processor{why} ({speed:.2f} times as fast as float32); "
        "quality=exact is as fast, and closer to the model",
    )


def speedup(references: References, plain: ir.Model, data: bytes) -> float:
    """The speed of a serialised graph relative to one in float32.

    Each counts by its best run; the runs alternate.
    """
    slow, fast = best_seconds(references, [_bytes_of(plain), data])
    return slow / fast


def _bytes_of(model: ir.Model) -> bytes:
    with quiet():
        return serialized(ir.to_proto(model))
