"""The choices of :func:`onnx_demucs_compiler.compile`, checked once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.runtime.segments import DEFAULT_OVERLAP
from onnx_demucs_compiler.targets import TARGETS, emitted_target, target_named
from onnx_demucs_compiler.view.ports import INTERFACES

if TYPE_CHECKING:
    from onnx_demucs_compiler.targets import Target

DEFAULT_OPSET = 18
OPSETS = range(17, 27)

STORED_AS = {
    "fp32": (),
    "fp16-weights": ("fp16-weights",),
    "int8": ("int8", "fp16-weights"),
    "fp16": (),
}
"""For each precision, the forms that an ONNX graph's weights may have.

int8 leaves to float16 what it must not round; fp16 computes in half precision, and is of no ONNX graph.
"""

PRECISIONS = tuple(STORED_AS)

QUALITIES = ("exact", "careful", "fast")
"""What can be promised of stems, by name (:mod:`onnx_demucs_compiler.checking.promises`)."""

ON_ONNX = ("target", "opset", "track", "stems", "two_stems", "fold_weights", "quality")
"""The options whose work is done on the ONNX graph."""

LARGEST = 2**31 - 1
"""Samples, and mixes: what indices of 32 bits count."""


@dataclass(frozen=True)
class Options:
    """The choices that rules and stages may look at.

    Attributes:
        target: which runtime family the graph is for.
        emit: the format to make in place of an ONNX file, from the program after DECOMPOSE.
        interface: which cut of the graph is the artifact.
        precision: how weights are stored and computed with.
        lossless: whether only what float16 says exactly is stored in it.
        quality: what is promised of the stems, where the precision follows from that.
        opset: version of the ``ai.onnx`` operator set.
        batch: first dimension of every input and output; ``"dynamic"`` leaves it open.
        length: samples in one run; ``"segment"`` is the model's own, ``"dynamic"`` leaves it open.
        track: whether the graph takes a track of any length, cut into segments inside.
        overlap: with ``track``, the part of each segment that the next covers too, in [0, 1).
        stems: the outputs to keep, in this order; ``None`` keeps all in the model's.
        two_stems: the one source to keep, beside what is left without it.
        other_method: what that is: ``add``, the sum of the other sources; ``minus``, the mix less the one.
        fold_weights: whether what is computed from weights alone is stored in place of being computed.
        weights_license: their licence, for the metadata; empty where the user names none.
        keep: with ``int8``, the weights that are stored in float16 instead, by their initializers' names.
        context: samples of the song in a window on either side of its segment, where windows are as long as
            their segments; None where they are of one length, or of any.
        segment: samples of the longest segment then.
        sources: the model's own sources, in the order of the graph's second axis, for rules to look up.
    """

    target: str = "portable"
    emit: str | None = None
    interface: str = "waveform"
    precision: str = "fp32"
    lossless: bool = False
    quality: str | None = None
    opset: int = DEFAULT_OPSET
    batch: int | str = 1
    length: int | str = "segment"
    track: bool = False
    overlap: float = DEFAULT_OVERLAP
    stems: tuple[str, ...] | None = None
    two_stems: str | None = None
    other_method: str = "add"
    fold_weights: bool = False
    weights_license: str = ""
    keep: tuple[str, ...] = ()
    context: int | None = None
    segment: int = 0
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what this version cannot do, naming what it can."""
        _one_of("target", self.target, tuple(TARGETS))
        _one_of("interface", self.interface, tuple(INTERFACES))
        _one_of("precision", self.precision, PRECISIONS)
        if self.quality is not None:
            _one_of("quality", self.quality, QUALITIES)
        _one_of("opset", self.opset, tuple(OPSETS))
        _one_of("fold_weights", self.fold_weights, (False, True))
        self._check_length()
        _one_of("other_method", self.other_method, ("add", "minus"))
        self._check_batch()
        self._check_track()
        self._check_stems()
        if not self.weights_license.isprintable():
            raise UsageError("weights_license is the name of a licence in one line of text")
        self._check_emit()
        self._check_precision()
        for option, why in self.made_for.refuses.items():
            if getattr(self, option):
                raise UsageError(f"target={self.target} excludes {option}: {why}; leave one of them out")

    @property
    def made_for(self) -> Target:
        """The target whose rules apply: that of the format, or the graph's."""
        return target_named(self.target) if self.emit is None else emitted_target(self.emit)

    def _check_length(self) -> None:
        whole = isinstance(self.length, int) and not isinstance(self.length, bool)
        if whole and 1 <= int(self.length) <= LARGEST:
            return
        if whole and int(self.length) > LARGEST:
            raise UsageError(
                f"length={self.length} is more samples than a graph can count; {LARGEST} at most"
            )
        _one_of("length", self.length, ("segment", "dynamic", "a number of samples"))

    def _check_batch(self) -> None:
        whole = isinstance(self.batch, int) and not isinstance(self.batch, bool)
        if self.batch != "dynamic" and not (whole and 1 <= int(self.batch) <= LARGEST):
            raise UsageError(
                f"batch={self.batch!r} is not a value it takes; use a whole number from 1, or dynamic"
            )

    def _check_track(self) -> None:
        _one_of("track", self.track, (False, True))
        if not 0 <= self.overlap < 1:
            raise UsageError(f"overlap={self.overlap} is not a value it takes; use one from 0 to below 1")
        if self.track and (self.interface, self.batch) != ("waveform", 1):
            raise UsageError(
                "track takes one mix of any length and cuts it itself; leave out interface and batch"
            )

    def _check_stems(self) -> None:
        if self.stems is not None and self.two_stems is not None:
            raise UsageError("stems and two_stems exclude each other; leave one of them out")
        if self.stems is not None and (not self.stems or len(set(self.stems)) < len(self.stems)):
            raise UsageError(f"stems={','.join(self.stems)} names no stem, or one twice")
        if self.two_stems and self.other_method == "minus" and self.interface != "waveform":
            raise UsageError(
                "other_method=minus needs the whole mix, which only the waveform interface has; use add"
            )

    def _check_emit(self) -> None:
        if self.emit is None:
            return
        emitted_target(self.emit)
        usual = {field.name: field.default for field in fields(self)}
        asked = [name for name in ON_ONNX if getattr(self, name) != usual[name]]
        if asked:
            raise UsageError(
                f"emit={self.emit} is made before there is an ONNX graph, where {' and '.join(asked)} would "
                "work; leave out one or the other"
            )

    def _check_precision(self) -> None:
        known, made_for = (
            self.made_for.precisions,
            f"emit={self.emit}" if self.emit else f"target={self.target}",
        )
        if self.precision not in known:
            raise UsageError(f"{made_for} has no precision={self.precision}; use {' or '.join(known)}")


def _one_of(option: str, value: object, known: tuple[object, ...]) -> None:
    # `True == 1` in Python, and batch=True is a mistake.
    if any(value == choice and type(value) is type(choice) for choice in known):
        return
    # batch="1" is told from batch=1 by its quotes.
    shown = repr(value) if str(value) in map(str, known) else value
    raise UsageError(f"{option}={shown} is not a value it takes; use {', '.join(map(str, known))}")
