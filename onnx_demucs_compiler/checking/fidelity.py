"""Parity with the model in float64, measured before anything is written."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
import onnxruntime as ort
import torch
import torch.utils._pytree as pytree

from onnx_demucs_compiler.checking.decibels import (
    ABSENT_DB,
    energy,
    error_energy,
    nan_lowest,
    ratio_db,
    to_mix_db,
)
from onnx_demucs_compiler.checking.double import AllDouble, PrecisionWatch, double_copy
from onnx_demucs_compiler.checking.frugal import frugal
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.session import in_one_line, session_options
from onnx_demucs_compiler.tracing.source import error_in_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from onnx_demucs_compiler.tracing.first_call import FirstCall
    from onnx_demucs_compiler.view.labels import Labels
    from onnx_demucs_compiler.view.model_view import ModelView

    Arrays = list[NDArray[Any]]
    Run = Callable[[Arrays], Arrays]
    """From inputs to outputs, both in their order."""

DEFAULT_MIN_SNR_DB = {"fp32": 100.0, "fp16-weights": 100.0, "int8": 40.0, "fp16": 40.0}

# Where weights have been rounded to eleven bits the graph computes another function than the model, on
# purpose. Each tensor keeps 73 dB of itself; what a hundred layers make of that is measured at 60 and more.
ROUNDED_MIN_SNR_DB = 50.0

# What rounding in another order may cost where PyTorch's own float32 does not clear the gate.
ALLOWANCE_DB = 12.0

# The least that is asked for unasked, however little PyTorch keeps: below it lies another function.
FLOOR_DB = 20.0

# PyTorch in float32 so far below the graph has lost something that the graph has not.
SUSPICIOUS_DB = 20.0

# A signal whose peak lies below this (-120 dBFS) is silent, and SNR says nothing about it.
SILENT = 1e-6


class Session(Protocol):
    """Anything that runs a graph: ONNX Runtime's session, or another engine."""

    def get_inputs(self) -> Sequence[Any]:
        """The inputs in their order, each with its ``name``."""

    def run(self, output_names: None, input_feed: Mapping[str, Any], /) -> Arrays:
        """All outputs in their order, of inputs by name."""


@dataclass(frozen=True)
class Measurement:
    """The agreement of one output with the model in float64, per signal.

    Attributes:
        signal: what went in: ``noise``, ``song``, ``silence`` or an audio file's name.
        output: the stem, or the output's name.
        snr_db: of the compiled graph, ``10·log10(Σ ref² / Σ (out - ref)²)``; infinite where equal.
        torch_snr_db: of PyTorch in float32, against the same reference.
        max_abs_error: largest difference of the compiled graph.
        silent: the reference is silent, and so must the output be.
        error_to_mix_db: of the compiled graph, ``10·log10(Σ (out - ref)² / Σ mix²)``; minus infinite where
            equal, NaN where there is no mix or it is all zero. The mix is what goes in and has the output's
            axes but for the stems: the waveform, or the spectrum for a spectrum.
        reference_to_mix_db: of the stem itself, ``10·log10(Σ ref² / Σ mix²)``; NaN as above.
    """

    signal: str
    output: str
    snr_db: float
    torch_snr_db: float
    max_abs_error: float
    silent: bool
    error_to_mix_db: float = math.nan
    reference_to_mix_db: float = math.nan

    @property
    def absent(self) -> bool:
        """True if the stem is too quiet in the mix for SNR."""
        return self.reference_to_mix_db < ABSENT_DB

    @property
    def gated_db(self) -> float:
        """The figure that the gate applies to, in dB.

        It is SNR, or the distance of an absent stem's error below the mix.
        """
        return -self.error_to_mix_db if self.absent else self.snr_db

    @property
    def torch_gated_db(self) -> float:
        """The same of PyTorch in float32."""
        return self.torch_snr_db - self.reference_to_mix_db if self.absent else self.torch_snr_db

    @property
    def torch_lags(self) -> bool:
        """True if PyTorch in float32 is far less exact than the graph."""
        return not self.torch_snr_db >= self.snr_db - SUSPICIOUS_DB

    @property
    def torch_error_to_mix_db(self) -> float:
        """The error to the mix of PyTorch in float32."""
        return self.reference_to_mix_db - self.torch_snr_db

    @property
    def rightly_silent(self) -> bool:
        """True if the reference is silent, and the output is, too."""
        return self.silent and self.max_abs_error < SILENT

    @property
    def only_peak_counts(self) -> bool:
        """True if the reference is silent and there is no mix either."""
        return self.silent and not self.absent

    def passes(self, min_snr_db: float) -> bool:
        """True if the output is rightly silent, or else reaches the gate."""
        return self.rightly_silent or (not self.only_peak_counts and self.gated_db >= min_snr_db)

    @property
    def without_figure(self) -> str:
        """The fault of an output without a figure; else empty."""
        name = f"{self.output} on {self.signal}"
        if math.isnan(self.snr_db):
            also = ", as the model's own is" if math.isnan(self.torch_snr_db) else ""
            return f"{name} is in part NaN or infinite{also}"
        if self.only_peak_counts:
            return f"{name} peaks at {self.max_abs_error:.1e} where the model is silent"
        return ""

    def shortfall(self, wanted_db: float) -> str:
        """In words, what was found where so much was wanted."""
        name = f"{self.output} on {self.signal}"
        if self.without_figure:
            return self.without_figure
        if self.absent:
            return (
                f"{name} is absent ({self.reference_to_mix_db:.1f} dB to the mix), and its error is "
                f"{self.error_to_mix_db:.1f} dB to the mix (PyTorch float32: {-self.torch_gated_db:.1f} dB), "
                f"above the gate of {-round(wanted_db, 1):g} dB"
            )
        return (
            f"{name} reaches {self.snr_db:.1f} dB SNR against float64 (PyTorch float32: "
            f"{self.torch_snr_db:.1f} dB), below the gate of {round(wanted_db, 1):g} dB"
        )

    def excess(self, limit_db: float) -> str:
        """In words, an error to the mix that is above the limit."""
        return (
            f"the error of {self.output} on {self.signal} is {self.error_to_mix_db:.1f} dB to the mix "
            f"(PyTorch float32: {self.torch_error_to_mix_db:.1f} dB), above the gate of {limit_db:g} dB"
        )


@dataclass(frozen=True)
class Gate:
    """The threshold for every output, in dB.

    It applies to SNR, or where a stem is absent to its error below the mix.

    Attributes:
        min_snr_db: in dB; minus infinite where the error to the mix alone is asked for.
        follows_torch: where PyTorch's own float32 comes within :data:`ALLOWANCE_DB` of the gate or below
            it, ask for no more than its figure less that allowance, but never for less than
            :data:`FLOOR_DB`: some weights and signals amplify every rounding, and no graph can be held to
            more than the model itself keeps.
        max_error_to_mix_db: the largest error to the mix in dB, of stems that are present and of those that
            are absent alike; SNR is then asked of the former only. Where there is no mix, the stricter of the
            two is asked for as SNR. None where SNR decides.
    """

    min_snr_db: float
    follows_torch: bool = False
    max_error_to_mix_db: float | None = None

    @classmethod
    def of(cls, precision: str, min_snr_db: float | None, *, rounded: bool = False) -> Gate:
        """The gate a user asks for, or the precision's own for None.

        The user's is taken literally; the precision's own follows PyTorch.

        Args:
            precision: as in :class:`~onnx_demucs_compiler.options.Options`.
            min_snr_db: in dB.
            rounded: whether weights are not what they are in the model.

        Raises:
            UsageError: the gate is infinite or NaN.
            CompilerError: no gate was asked for, and the precision has none.
        """
        if min_snr_db is not None:
            if not math.isfinite(min_snr_db):
                raise UsageError(f"--min-snr {min_snr_db} is not a gate; give a number of dB")
            return cls(min_snr_db)
        if precision not in DEFAULT_MIN_SNR_DB:
            raise CompilerError(f"no gate is known for precision {precision}; give one in dB")
        if precision in ("int8", "fp16"):
            return cls(DEFAULT_MIN_SNR_DB[precision])
        if rounded:
            return cls(ROUNDED_MIN_SNR_DB)
        return cls(DEFAULT_MIN_SNR_DB[precision], follows_torch=True)

    def wanted_db(self, measurement: Measurement) -> float:
        """The figure that one measurement has to reach, in dB."""
        if not self.follows_torch or math.isnan(measurement.torch_gated_db):
            return self.min_snr_db
        return min(self.min_snr_db, max(FLOOR_DB, measurement.torch_gated_db - ALLOWANCE_DB))

    def margin_db(self, measurement: Measurement) -> float:
        """The dB that an output has to spare; NaN without figure."""
        if self.max_error_to_mix_db is None:
            return measurement.gated_db - self.wanted_db(measurement)
        if math.isnan(measurement.reference_to_mix_db):
            return measurement.snr_db - max(self.min_snr_db, -self.max_error_to_mix_db)
        margin = self.max_error_to_mix_db - measurement.error_to_mix_db
        return margin if measurement.absent else min(margin, measurement.snr_db - self.min_snr_db)

    def least_margin_db(self, measurements: Iterable[Measurement]) -> float:
        """The margin of the worst output in dB, but for silent ones."""
        return min((nan_lowest(self.margin_db(item)) for item in audible(measurements)), default=math.inf)

    def passes(self, measurement: Measurement) -> bool:
        """True if the output is rightly silent, or good enough."""
        if measurement.rightly_silent:
            return True
        return not measurement.only_peak_counts and self.margin_db(measurement) >= 0

    def shortfall(self, measurement: Measurement) -> str:
        """In words, what was found of an output that does not pass."""
        limit = self.max_error_to_mix_db
        if limit is None or measurement.without_figure:
            return measurement.shortfall(self.wanted_db(measurement))
        if math.isnan(measurement.reference_to_mix_db):
            return measurement.shortfall(max(self.min_snr_db, -limit))
        if measurement.absent or measurement.snr_db >= self.min_snr_db:
            return measurement.excess(limit)
        return measurement.shortfall(self.min_snr_db)

    @property
    def words(self) -> str:
        """All that is asked for, in words."""
        if self.max_error_to_mix_db is None:
            return f"{self.min_snr_db:g} dB"
        error = f"error to the mix at most {self.max_error_to_mix_db:g} dB"
        present = f", {self.min_snr_db:g} dB SNR for stems that are present"
        return error if self.min_snr_db == -math.inf else error + present

    def worst(self, measurements: Sequence[Measurement]) -> Measurement:
        """The output, of one or more, with the least margin."""
        return min(measurements, key=lambda item: nan_lowest(self.margin_db(item)))

    def check(self, measurements: Sequence[Measurement], blame: Callable[[], Sequence[str]] = tuple) -> None:
        """Let only faithful outputs pass.

        Args:
            measurements: of all outputs on all signals.
            blame: asked, if one does not pass, for sentences on where parity was lost.

        Raises:
            FidelityError: one of them is not.
        """
        failed = [item for item in measurements if not self.passes(item)]
        if failed:
            worst = self.worst(failed)
            shortfall = self.shortfall(worst) + self._advice(worst)
            raise FidelityError(measurements, "; ".join([shortfall, *blame()]))

    def warnings(self, measurements: Sequence[Measurement]) -> tuple[str, ...]:
        """Warnings on measurements that pass: the worst of each kind.

        Either an output is below the gate and passes because PyTorch is, too; or PyTorch's own float32 is far
        below the graph, so that the module itself loses what the graph keeps.
        """
        return (*self._followed(measurements), *_lagging(measurements))

    def _followed(self, measurements: Sequence[Measurement]) -> Iterator[str]:
        found = [item for item in measurements if not item.passes(self.min_snr_db)]
        if found:
            yield (
                f"{_worst(found).shortfall(self.min_snr_db)}; it passes because PyTorch itself keeps no more"
                f"{_more(found)}"
            )

    def _advice(self, worst: Measurement) -> str:
        if not self.follows_torch or worst.only_peak_counts:
            return ""
        if worst.gated_db >= worst.torch_gated_db - ALLOWANCE_DB:
            return "; PyTorch itself keeps no more: ask for less (--min-snr)"
        return ""


class FidelityError(CompilerError):
    """The compiled graph differs from the model more than the gate allows.

    Attributes:
        measurements: all of them, those that passed too.
    """

    def __init__(self, measurements: Sequence[Measurement], worst: str) -> None:
        self.measurements = tuple(measurements)
        super().__init__(f"parity failed: {worst}")


def _worst(measurements: Sequence[Measurement]) -> Measurement:
    return min(measurements, key=lambda item: nan_lowest(item.gated_db))


def _lagging(measurements: Sequence[Measurement]) -> Iterator[str]:
    found = [item for item in measurements if not item.silent and item.torch_lags]
    if found:
        worst = min(found, key=lambda item: nan_lowest(item.torch_snr_db))
        yield (
            f"PyTorch's own float32 reaches {worst.torch_snr_db:.1f} dB SNR for {worst.output} on "
            f"{worst.signal}, and the graph {worst.snr_db:.1f} dB: the module itself is imprecise in float32"
            f"{_more(found)}"
        )


def audible(measurements: Iterable[Measurement]) -> Iterator[Measurement]:
    """The outputs that have a figure; others are silent with the model."""
    return (item for item in measurements if item.absent or not item.silent)


def worst_db(measurements: Iterable[Measurement], *, torch: bool = False) -> float:
    """The gated figure of the worst output in dB, NaN the worst.

    Args:
        measurements: silent outputs among them do not count.
        torch: PyTorch's own float32 in place of the graph.
    """
    figures = (item.torch_gated_db if torch else item.gated_db for item in audible(measurements))
    return min(map(nan_lowest, figures), default=math.inf)


def _more(measurements: Sequence[Measurement]) -> str:
    return f" (and {len(measurements) - 1} more)" if len(measurements) > 1 else ""


def measure(
    model: Session | onnx.ModelProto | bytes, view: ModelView, signals: Mapping[str, tuple[torch.Tensor, ...]]
) -> tuple[Measurement, ...]:
    """Run the compiled graph, PyTorch float32 and PyTorch float64 on signals.

    Args:
        model: the ONNX model, or what runs it.
        view: what it was compiled from, and how.
        signals: mixes by name, in the shape of ``view.example()``.

    Raises:
        UsageError: a signal has another shape than the artifact takes.
        CompilerError: the module cannot run in float64, or ONNX Runtime refuses the graph.
    """
    # In this order what float64 takes is gone before a session takes its own.
    return References(view, signals).measure(model)


class References:
    """The model's own outputs on signals, to compare any graphs with.

    They are kept without the model, whose weights may be let go.
    Where PyTorch float32 is silent its output is the reference, and float64 is not run.
    """

    def __init__(
        self,
        view: ModelView,
        signals: Mapping[str, tuple[torch.Tensor, ...]],
        known: FirstCall | None = None,
    ) -> None:
        """Run PyTorch in float32 and float64 on named mixes.

        Args:
            view: the model, and how it is compiled.
            signals: the mixes, in the shape of ``view.probe()``.
            known: a call in float32 that one of them need not repeat.

        Raises:
            UsageError: a signal has another shape than the artifact takes.
            CompilerError: the module cannot run in float64.
        """
        _check_shapes(signals, view)
        self._labels = view.labels
        self._known: dict[str, tuple[tuple[torch.Tensor, ...], Arrays, Arrays]] = {}
        for signal, mix in signals.items():
            inputs = view.inputs(*mix)
            single = view.outputs_of(known, inputs) if known else None
            if single is None:
                single = view.run(view.source.module, inputs)
            reference = single if all(map(_silent, single)) else _run_double(view, inputs)
            self._known[signal] = inputs, single, reference

    def measure(
        self, model: Session | onnx.ModelProto | bytes, *, first_only: bool = False
    ) -> tuple[Measurement, ...]:
        """Compare a graph on all signals, or on the first.

        Raises:
            CompilerError: ONNX Runtime refuses the graph.
        """
        session = open_session(model) if isinstance(model, (onnx.ModelProto, bytes)) else model
        return self.compare(lambda inputs: self._run(session, inputs), first_only=first_only)

    def compare(self, run: Run, *, first_only: bool = False) -> tuple[Measurement, ...]:
        """Compare whatever runs on all signals, or on the first.

        Raises:
            CompilerError: its outputs have other shapes than the model's, or it cannot run.
        """
        measurements: list[Measurement] = []
        for signal, (inputs, single, reference) in list(self._known.items())[: 1 if first_only else None]:
            outputs = run(_arrays(inputs))
            _check_outputs(outputs, reference)
            with np.errstate(invalid="ignore", over="ignore"):  # figures of what is not finite are NaN
                measurements += _compare(signal, self._labels, inputs, reference, single, outputs)
        return tuple(measurements)

    def outputs(self, session: Session) -> Arrays:
        """The outputs of a graph on the first of the signals.

        Raises:
            CompilerError: it cannot run.
        """
        inputs, _, _ = next(iter(self._known.values()))
        return self._run(session, _arrays(inputs))

    def seconds(self, session: Session) -> float:
        """The duration of one run on the first of the signals."""
        inputs, _, _ = next(iter(self._known.values()))
        feeds = self._feeds(session, _arrays(inputs))
        start = perf_counter()
        session.run(None, feeds)
        return perf_counter() - start

    def _run(self, session: Session, inputs: Arrays) -> Arrays:
        return _run_graph(session, self._feeds(session, inputs))

    def _feeds(self, session: Session, inputs: Arrays) -> dict[str, Any]:
        names = [item.name for item in session.get_inputs()]
        if len(names) != len(inputs):
            raise CompilerError(
                f"the graph has {len(names)} inputs, and {self._labels.model} is given {len(inputs)}"
            )
        return dict(zip(names, inputs, strict=True))


def _arrays(inputs: tuple[torch.Tensor, ...]) -> Arrays:
    return [value.numpy() for value in inputs]


def open_session(
    model: onnx.ModelProto | bytes | Path, options: ort.SessionOptions | None = None
) -> ort.InferenceSession:
    """A session, with the options of ``separate`` unless others are given.

    Raises:
        CompilerError: ONNX Runtime refuses the graph.
    """
    payload = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    try:
        return ort.InferenceSession(payload, options or session_options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no narrower base
        raise CompilerError(
            f"ONNX Runtime cannot load the compiled graph: {in_one_line(error)[:400]}"
        ) from error


def _run_graph(session: Session, feeds: Mapping[str, Any]) -> Arrays:
    try:
        outputs: Arrays = session.run(None, feeds)
    except CompilerError:  # of another engine
        raise
    except Exception as error:  # onnxruntime's errors share no narrower base
        raise CompilerError(f"ONNX Runtime cannot run the graph ({in_one_line(error)})") from error
    return outputs


def _check_outputs(outputs: Arrays, reference: Arrays) -> None:
    found, wanted = ([list(output.shape) for output in arrays] for arrays in (outputs, reference))
    if found != wanted:
        raise CompilerError(f"the graph's outputs have the shapes {found}, and the model's have {wanted}")


def _check_shapes(signals: Mapping[str, tuple[torch.Tensor, ...]], view: ModelView) -> None:
    wanted = _shapes(view.probe(), view)
    for name, values in signals.items():
        found = _shapes(values, view)
        if found != wanted:
            raise UsageError(
                f"the signal {name} has the shape {found}, and {view.source.name} takes {wanted}"
            )


def _shapes(values: tuple[torch.Tensor, ...], view: ModelView) -> list[list[int]]:
    return [list(value.shape[:-1] if view.any_length else value.shape) for value in values]


def run_eager(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Arrays:
    """The module's outputs as a flat list of arrays."""
    with torch.inference_mode():
        outputs = module(*(value.clone() for value in inputs))
    leaves = pytree.tree_leaves(outputs)
    return [leaf.detach().numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _run_double(view: ModelView, inputs: tuple[torch.Tensor, ...]) -> Arrays:
    """The outputs in float64, with float32 in the module widened if necessary.

    The latter where the module fails or loses precision otherwise. A table in float32 that no input reaches
    is no loss: its numbers are the model's.

    Raises:
        CompilerError: it cannot run that way either.
    """
    doubled = tuple(value.double() if value.is_floating_point() else value for value in inputs)
    module, watch = view.source.module, PrecisionWatch()
    eager = torch.compiler.set_stance("force_eager")  # torch.compile, as in torch.cond, trips over modes
    with contextlib.suppress(Exception), eager, frugal(), watch:
        outputs = view.run(module, doubled, double_copy)
        if not watch.narrowed and not any(output.dtype == np.float32 for output in outputs):
            return outputs
    try:
        with eager, frugal(), AllDouble():
            return view.run(module, doubled, double_copy)
    except Exception as error:
        raise CompilerError(
            "the model cannot run in float64, which parity is measured against "
            f"({error_in_one_line(error)}); compile without verification if that is expected"
        ) from error


def _compare(
    signal: str,
    labels: Labels,
    inputs: tuple[torch.Tensor, ...],
    reference: Arrays,
    single: Arrays,
    outputs: Arrays,
) -> list[Measurement]:
    measurements = []
    for index, (wanted, eager, got) in enumerate(zip(reference, single, outputs, strict=True)):
        split = labels.stems if labels.has_stems(wanted) else ()
        whole = labels.outputs[index] if labels.outputs else f"output {index}"
        mix = sum(map(energy, labels.mix(inputs, wanted)))
        for part_name, part in _parts(split, whole, labels.stem_axis):
            name = part_name if len(outputs) == 1 or not split else f"{whole} {part_name}"
            right, wrong = energy(wanted[part]), error_energy(wanted[part], got[part])
            measurements.append(
                Measurement(
                    signal=signal,
                    output=name,
                    snr_db=ratio_db(right, wrong),
                    torch_snr_db=ratio_db(right, error_energy(wanted[part], eager[part])),
                    max_abs_error=_largest_difference(wanted[part], got[part]),
                    silent=_silent(wanted[part]),
                    error_to_mix_db=to_mix_db(wrong, mix),
                    reference_to_mix_db=to_mix_db(right, mix),
                )
            )
    return measurements


def _largest_difference(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    # In float64, since truth values have no difference, and that of unsigned numbers is none below zero.
    return float(np.abs(np.subtract(got, wanted, dtype=np.float64)).max(initial=0))


def _silent(output: NDArray[Any]) -> bool:
    return bool(np.abs(output).max(initial=0) < SILENT)


def _parts(stems: tuple[str, ...], whole: str, axis: int) -> list[tuple[str, Any]]:
    if not stems:
        return [(whole, ...)]
    return [(stem, (*[slice(None)] * axis, index)) for index, stem in enumerate(stems)]


def probe_signals(
    example: tuple[torch.Tensor, ...], sample_rate: int | None
) -> dict[str, tuple[torch.Tensor, ...]]:
    """Noise, a synthetic song and silence in the shape of the example.

    Inputs that are not floating point stay as they are.

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
