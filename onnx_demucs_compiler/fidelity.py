"""Parity with the model in float64, measured before anything is written."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import torch
import torch.utils._pytree as pytree

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.session import in_one_line, session_options
from onnx_demucs_compiler.synthesis import synthetic_song

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

    from onnx_demucs_compiler.subject import Subject

    Arrays = list[NDArray[Any]]

DEFAULT_MIN_SNR_DB = {"fp32": 100.0, "fp16-weights": 100.0, "int8": 40.0}

# Where weights have been rounded to eleven bits the graph computes another function than the model, on
# purpose. Each tensor keeps 73 dB of itself; what a hundred layers make of that is measured at 60 and more.
ROUNDED_MIN_SNR_DB = 50.0

# What rounding in another order may cost where PyTorch's own float32 does not clear the gate.
ALLOWANCE_DB = 12.0

# However little PyTorch keeps, what falls below this is another function and not a rounding of this one.
FLOOR_DB = 75.0

# A signal whose peak lies below this (-120 dBFS) is silent, and SNR says nothing about it.
SILENT = 1e-6


@dataclass(frozen=True)
class Measurement:
    """How one output compares with the model in float64 on one signal.

    Attributes:
        signal: what went in: ``noise``, ``song``, ``silence`` or an audio file's name.
        output: the stem, or the output's name.
        snr_db: of the compiled graph, ``10·log10(Σ ref² / Σ (out - ref)²)``; infinite where equal.
        torch_snr_db: of PyTorch in float32, against the same reference.
        max_abs_error: largest difference of the compiled graph.
        silent: the reference is silent, so that the gate is on the output's own peak.
    """

    signal: str
    output: str
    snr_db: float
    torch_snr_db: float
    max_abs_error: float
    silent: bool

    def passes(self, min_snr_db: float) -> bool:
        """Whether the output is good enough: silent where the model is, else above the gate."""
        return self.max_abs_error < SILENT if self.silent else self.snr_db >= min_snr_db


@dataclass(frozen=True)
class Gate:
    """The SNR that every output has to reach.

    Attributes:
        min_snr_db: in dB.
        follows_torch: where PyTorch's own float32 comes within :data:`ALLOWANCE_DB` of the gate or below
            it, ask for no more than its SNR less that allowance, but never for less than
            :data:`FLOOR_DB`: some weights and signals amplify every rounding, and no graph can be held to
            more than the model itself keeps.
    """

    min_snr_db: float
    follows_torch: bool = False

    @classmethod
    def of(cls, precision: str, min_snr_db: float | None, *, rounded: bool = False) -> Gate:
        """The gate a user asks for, to the letter; the precision's own, which follows PyTorch, for None.

        Args:
            precision: as in :class:`~onnx_demucs_compiler.options.Options`.
            min_snr_db: in dB.
            rounded: whether weights are not what they are in the model.

        Raises:
            CompilerError: no gate was asked for, and the precision has none.
        """
        if min_snr_db is not None:
            return cls(min_snr_db)
        if precision not in DEFAULT_MIN_SNR_DB:
            raise CompilerError(f"no gate is known for precision {precision}; give one in dB")
        if precision == "int8":
            return cls(DEFAULT_MIN_SNR_DB[precision])
        if rounded:
            return cls(ROUNDED_MIN_SNR_DB)
        return cls(DEFAULT_MIN_SNR_DB[precision], follows_torch=True)

    def wanted_db(self, measurement: Measurement) -> float:
        """What one measurement has to reach."""
        if not self.follows_torch or math.isnan(measurement.torch_snr_db):
            return self.min_snr_db
        return min(self.min_snr_db, max(FLOOR_DB, measurement.torch_snr_db - ALLOWANCE_DB))

    def check(self, measurements: Sequence[Measurement]) -> None:
        """Let only faithful outputs pass.

        Raises:
            FidelityError: one of them is not.
        """
        failed = [item for item in measurements if not item.passes(self.wanted_db(item))]
        if failed:
            worst = min(failed, key=lambda item: item.snr_db)
            raise FidelityError(measurements, worst, self.wanted_db(worst))


class FidelityError(CompilerError):
    """The compiled graph differs from the model by more than the gate allows.

    Attributes:
        measurements: all of them, those that passed too.
    """

    def __init__(self, measurements: Sequence[Measurement], worst: Measurement, wanted_db: float) -> None:
        self.measurements = tuple(measurements)
        found = (
            f"peaks at {worst.max_abs_error:.1e} where the model is silent"
            if worst.silent
            else f"reaches {worst.snr_db:.1f} dB SNR against float64 (PyTorch float32: "
            f"{worst.torch_snr_db:.1f} dB), below the gate of {wanted_db:g} dB"
        )
        super().__init__(f"parity failed: {worst.output} on {worst.signal} {found}")


def snr_db(reference: NDArray[Any], output: NDArray[Any]) -> float:
    """``10·log10(Σ ref² / Σ (out - ref)²)`` in dB, computed in float64.

    Infinite where both are equal, minus infinite where only the reference is all zero, NaN where the
    output is.
    """
    reference = reference.astype(np.float64)
    noise = float(np.sum((output.astype(np.float64) - reference) ** 2))
    signal = float(np.sum(reference**2))
    if math.isnan(noise) or math.isnan(signal):
        return math.nan
    if noise == 0:
        return math.inf
    if signal == 0 or math.isinf(noise):
        return -math.inf
    return 10 * math.log10(signal / noise)


def measure(
    model: onnx.ModelProto | bytes, subject: Subject, signals: Mapping[str, tuple[torch.Tensor, ...]]
) -> tuple[Measurement, ...]:
    """Run the compiled graph, PyTorch float32 and PyTorch float64 on signals.

    Args:
        model: the ONNX model.
        subject: what it was compiled from, and how.
        signals: mixes by name, in the shape of ``subject.example()``.

    Raises:
        UsageError: a signal has another shape than the artefact takes.
        CompilerError: the module cannot run in float64, or ONNX Runtime refuses the graph.
    """
    # In this order the copy in float64, twice the weights, is gone before a session takes its own.
    return References(subject, signals).measure(model)


class References:
    """What the model itself makes of signals, for any number of graphs to be compared with.

    Where PyTorch float32 is silent its output is the reference, and float64 is not run.
    """

    def __init__(self, subject: Subject, signals: Mapping[str, tuple[torch.Tensor, ...]]) -> None:
        """Run PyTorch in float32 and float64 on mixes in the shape of ``subject.probe()``, by name.

        Raises:
            UsageError: a signal has another shape than the artefact takes.
            CompilerError: the module cannot run in float64.
        """
        _check_shapes(signals, subject)
        self._subject = subject
        self._known: dict[str, tuple[tuple[torch.Tensor, ...], Arrays, Arrays]] = {}
        double = copy.deepcopy(subject.source.module).double()
        for signal, mix in signals.items():
            inputs = subject.inputs(*mix)
            single = subject.run(subject.source.module, inputs)
            reference = single if all(map(_silent, single)) else _run_double(subject, double, inputs)
            self._known[signal] = inputs, single, reference

    def measure(
        self, model: ort.InferenceSession | onnx.ModelProto | bytes, *, first_only: bool = False
    ) -> tuple[Measurement, ...]:
        """Compare a graph on all signals, or on the first.

        Raises:
            CompilerError: ONNX Runtime refuses the graph.
        """
        session = model if isinstance(model, ort.InferenceSession) else open_session(model)
        measurements: list[Measurement] = []
        for signal, (inputs, single, reference) in list(self._known.items())[: 1 if first_only else None]:
            outputs = _run_graph(session, self._feeds(session, inputs))
            _check_outputs(outputs, reference)
            measurements += _compare(signal, self._subject, reference, single, outputs)
        return tuple(measurements)

    def seconds(self, session: ort.InferenceSession) -> float:
        """How long one run on the first of the signals takes."""
        inputs, _, _ = next(iter(self._known.values()))
        feeds = self._feeds(session, inputs)
        start = perf_counter()
        session.run(None, feeds)
        return perf_counter() - start

    def _feeds(self, session: ort.InferenceSession, inputs: tuple[torch.Tensor, ...]) -> dict[str, Any]:
        names = [item.name for item in session.get_inputs()]
        if len(names) != len(inputs):
            raise CompilerError(
                f"the graph has {len(names)} inputs, and {self._subject.source.name} is given {len(inputs)}"
            )
        return {name: value.numpy() for name, value in zip(names, inputs, strict=True)}


def open_session(model: onnx.ModelProto | bytes) -> ort.InferenceSession:
    """A session with the runtime's own options.

    Raises:
        CompilerError: ONNX Runtime refuses the graph.
    """
    payload = model if isinstance(model, bytes) else model.SerializeToString()
    try:
        return ort.InferenceSession(payload, session_options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no narrower base
        raise CompilerError(f"ONNX Runtime cannot load the compiled graph: {error}") from error


def _run_graph(session: ort.InferenceSession, feeds: Mapping[str, Any]) -> Arrays:
    try:
        outputs: Arrays = session.run(None, feeds)
    except Exception as error:  # onnxruntime's errors share no narrower base
        raise CompilerError(f"ONNX Runtime cannot run the graph ({in_one_line(error)})") from error
    return outputs


def _check_outputs(outputs: Arrays, reference: Arrays) -> None:
    found, wanted = ([list(output.shape) for output in arrays] for arrays in (outputs, reference))
    if found != wanted:
        raise CompilerError(f"the graph's outputs have the shapes {found}, and the model's have {wanted}")


def _check_shapes(signals: Mapping[str, tuple[torch.Tensor, ...]], subject: Subject) -> None:
    wanted = _shapes(subject.probe(), subject)
    for name, values in signals.items():
        found = _shapes(values, subject)
        if found != wanted:
            raise UsageError(
                f"the signal {name} has the shape {found}, and {subject.source.name} takes {wanted}"
            )


def _shapes(values: tuple[torch.Tensor, ...], subject: Subject) -> list[list[int]]:
    return [list(value.shape[:-1] if subject.any_length else value.shape) for value in values]


def run_eager(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Arrays:
    """The module's outputs as a flat list of arrays."""
    with torch.inference_mode():
        outputs = module(*(value.clone() for value in inputs))
    return [leaf.numpy() for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor)]


def _run_double(subject: Subject, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Arrays:
    doubled = tuple(value.double() if value.is_floating_point() else value for value in inputs)
    try:
        return subject.run(module, doubled)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CompilerError(
            f"the model cannot run in float64, which parity is measured against ({error}); "
            "compile without verification if that is as it should be"
        ) from error


def _compare(
    signal: str, subject: Subject, reference: Arrays, single: Arrays, outputs: Arrays
) -> list[Measurement]:
    measurements = []
    for index, (wanted, eager, got) in enumerate(zip(reference, single, outputs, strict=True)):
        split = subject.stems if subject.has_stems(wanted) else ()
        whole = subject.outputs[index] if subject.outputs else f"output {index}"
        for part_name, part in _parts(split, whole, subject.stem_axis):
            name = part_name if len(outputs) == 1 or not split else f"{whole} {part_name}"
            measurements.append(
                Measurement(
                    signal=signal,
                    output=name,
                    snr_db=snr_db(wanted[part], got[part]),
                    torch_snr_db=snr_db(wanted[part], eager[part]),
                    max_abs_error=float(np.abs(got[part] - wanted[part]).max(initial=0)),
                    silent=_silent(wanted[part]),
                )
            )
    return measurements


def _silent(output: NDArray[Any]) -> bool:
    return bool(np.abs(output).max(initial=0) < SILENT)


def _parts(stems: tuple[str, ...], whole: str, axis: int) -> list[tuple[str, Any]]:
    if not stems:
        return [(whole, ...)]
    return [(stem, (*[slice(None)] * axis, index)) for index, stem in enumerate(stems)]


def probe_signals(
    example: tuple[torch.Tensor, ...], sample_rate: int | None
) -> dict[str, tuple[torch.Tensor, ...]]:
    """Noise, a synthetic song and silence in the shape of the example; what is not float stays as it is.

    Args:
        example: the inputs that the model was traced with.
        sample_rate: in Hz; 44100 where the model names none.
    """
    generator = torch.Generator().manual_seed(0)

    def each(make: Any) -> tuple[torch.Tensor, ...]:
        return tuple(make(value) if value.is_floating_point() else value for value in example)

    def song(value: torch.Tensor) -> torch.Tensor:
        if value.ndim == 0 or value.numel() == 0:
            return torch.zeros_like(value)
        samples = value.shape[-1]
        flat = synthetic_song(samples, sample_rate or 44100, channels=value.numel() // samples)
        return torch.from_numpy(flat).reshape(value.shape)

    return {
        "noise": each(lambda value: 0.1 * torch.randn(value.shape, generator=generator)),
        "song": each(song),
        "silence": each(torch.zeros_like),
    }
