"""What to compile for: the choices of :func:`onnx_demucs_compiler.compile`, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.runtime.segments import DEFAULT_OVERLAP

DEFAULT_OPSET = 18
OPSETS = range(17, 27)

TARGETS_READY = ("portable", "ort")

PRECISIONS = ("fp32", "fp16-weights", "int8")

INTERFACES = ("waveform", "core", "spectral", "openkara")
LARGEST = 2**31 - 1
"""Samples, and mixes: what indices of 32 bits count."""


@dataclass(frozen=True)
class Options:
    """The choices that rules and stages may look at.

    Attributes:
        target: which runtime family the graph is for.
        interface: which cut of the graph is the artefact.
        precision: how weights are stored and computed with.
        opset: version of the ``ai.onnx`` operator set.
        batch: first dimension of every input and output; ``"dynamic"`` leaves it open.
        length: samples in one run; ``"segment"`` is the model's own, ``"dynamic"`` leaves it open.
        track: whether the graph takes a track of any length, cut into segments inside.
        overlap: with ``track``, the part of each segment that the next covers too, in [0, 1).
        stems: the outputs to keep, in this order; ``None`` keeps all in the model's.
        two_stems: the one source to keep, beside what is left without it.
        other_method: what that is: ``add``, the sum of the other sources; ``minus``, the mix less the one.
        keep: with ``int8``, the weights that are stored in float16 instead, by their initializers' names.
        sources: the model's own sources, in the order of the graph's second axis, for rules to look up.
    """

    target: str = "portable"
    interface: str = "waveform"
    precision: str = "fp32"
    opset: int = DEFAULT_OPSET
    batch: int | str = 1
    length: int | str = "segment"
    track: bool = False
    overlap: float = DEFAULT_OVERLAP
    stems: tuple[str, ...] | None = None
    two_stems: str | None = None
    other_method: str = "add"
    keep: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what this version cannot do, naming what it can."""
        _one_of("target", self.target, ready=TARGETS_READY, planned=("web",))
        _one_of("interface", self.interface, ready=INTERFACES, planned=())
        _one_of("precision", self.precision, ready=PRECISIONS, planned=())
        _one_of("opset", self.opset, ready=tuple(OPSETS), planned=())
        self._check_length()
        _one_of("other_method", self.other_method, ready=("add", "minus"), planned=())
        self._check_batch()
        self._check_track()
        self._check_stems()

    def _check_length(self) -> None:
        whole = isinstance(self.length, int) and not isinstance(self.length, bool)
        if whole and 1 <= int(self.length) <= LARGEST:
            return
        if whole and int(self.length) > LARGEST:
            raise UsageError(
                f"length={self.length} is more samples than a graph can count; {LARGEST} at most"
            )
        _one_of("length", self.length, ready=("segment", "dynamic", "a number of samples"), planned=())

    def _check_batch(self) -> None:
        whole = isinstance(self.batch, int) and not isinstance(self.batch, bool)
        if self.batch != "dynamic" and not (whole and 1 <= int(self.batch) <= LARGEST):
            raise UsageError(
                f"batch={self.batch!r} is not a value it takes; use a whole number from 1, or dynamic"
            )

    def _check_track(self) -> None:
        _one_of("track", self.track, ready=(False, True), planned=())
        if not 0 <= self.overlap < 1:
            raise UsageError(f"overlap={self.overlap} is not a value it takes; use one from 0 to below 1")
        if self.track and (self.interface, self.batch, self.length == "dynamic") != ("waveform", 1, False):
            raise UsageError(
                "track takes one mix of any length and cuts it itself; leave out interface, batch and "
                "length=dynamic"
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


def _one_of(option: str, value: object, ready: tuple[object, ...], planned: tuple[object, ...]) -> None:
    # `True == 1` in Python, and batch=True is a mistake.
    if any(value == choice and type(value) is type(choice) for choice in ready):
        return
    known = ", ".join(str(choice) for choice in ready)
    verb = "is not supported yet" if value in planned else "is not a value it takes"
    # batch="1" is told from batch=1 by its quotes.
    shown = repr(value) if str(value) in map(str, ready) else value
    raise UsageError(f"{option}={shown} {verb}; use {known}")
