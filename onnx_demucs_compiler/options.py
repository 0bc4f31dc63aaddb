"""What to compile for: the choices of :func:`onnx_demucs_compiler.compile`, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from onnx_demucs_compiler.errors import UsageError

DEFAULT_OPSET = 18
IR_VERSION = 8


@dataclass(frozen=True)
class Options:
    """The choices that rules and stages may look at.

    Attributes:
        target: which runtime family the graph is for.
        interface: which cut of the graph is the artefact.
        precision: how weights are stored and computed with.
        opset: version of the ``ai.onnx`` operator set.
        batch: first dimension of every input and output.
        length: ``"segment"``, the model's own segment.
        track: whether the graph takes whole tracks.
        stems: the outputs to keep; ``None`` keeps all.
    """

    target: str = "portable"
    interface: str = "waveform"
    precision: str = "fp32"
    opset: int = DEFAULT_OPSET
    batch: int | str = 1
    length: int | str = "segment"
    track: bool = False
    stems: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what this version cannot do, naming what it can."""
        _one_of("target", self.target, ready=("portable",), planned=("ort", "web"))
        _one_of("interface", self.interface, ready=("waveform",), planned=("core", "spectral", "openkara"))
        _one_of("precision", self.precision, ready=("fp32",), planned=("fp16-weights", "int8"))
        _one_of("opset", self.opset, ready=(DEFAULT_OPSET,), planned=())
        _one_of("batch", self.batch, ready=(1,), planned=("dynamic",))
        _one_of("length", self.length, ready=("segment",), planned=("dynamic",))
        _one_of("track", self.track, ready=(False,), planned=(True,))
        if self.stems is not None:
            raise UsageError("choosing stems is not supported yet; leave stems out to get all of them")


def _one_of(option: str, value: object, ready: tuple[object, ...], planned: tuple[object, ...]) -> None:
    # `True == 1` in Python, and batch=True is a mistake.
    if any(value == choice and type(value) is type(choice) for choice in ready):
        return
    known = ", ".join(str(choice) for choice in ready)
    verb = "is not supported yet" if value in planned else "is not a value it takes"
    # batch="1" is told from batch=1 by its quotes.
    shown = repr(value) if str(value) in map(str, ready) else value
    raise UsageError(f"{option}={shown} {verb}; use {known}")
