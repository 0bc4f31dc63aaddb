"""The pipeline from DECOMPOSE on, where no ONNX graph is made."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from onnx_demucs_compiler.artifact.emitted import EmittedModel, size_of
from onnx_demucs_compiler.building import build_program, metadata_of
from onnx_demucs_compiler.checking.fidelity import References
from onnx_demucs_compiler.emit import emitter_for
from onnx_demucs_compiler.emit.emitter import Names
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.report import Report
from onnx_demucs_compiler.tracing.quiet import quiet, quiet_libraries
from onnx_demucs_compiler.tracing.source import error_in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.building import Subject
    from onnx_demucs_compiler.checking.fidelity import Gate, Measurement
    from onnx_demucs_compiler.emit.emitter import Arrays, Content, Emitter, Run
    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.report import Recorder
    from onnx_demucs_compiler.rules.ruleset import RuleSet


def check_emittable(options: Options, **on_onnx: object) -> None:
    """Fail early if a format cannot be made.

    Args:
        options: which name it.
        on_onnx: arguments of :func:`~onnx_demucs_compiler.compile` that look at ONNX graphs, by name.

    Raises:
        UsageError: one of these is asked for, or a size is to stay open that the format fixes.
        CompilerError: the tools that make it are not installed.
    """
    emitter_for(options)
    if asked := [name for name, value in on_onnx.items() if value]:
        raise UsageError(
            f"{' and '.join(asked)} would look at an ONNX graph, and emit={options.emit} makes none; "
            "leave out one or the other"
        )


def emit(
    subject: Subject, rules: RuleSet, gate: Gate, recorder: Recorder, *, verify: bool = True
) -> EmittedModel:
    """Lower a model, convert it, and hold the result to the gate.

    Args:
        subject: the model, whose options name the format.
        rules: those to apply.
        gate: for every output.
        recorder: told of all that happens.
        verify: whether to measure.

    Raises:
        CompilerError: the model cannot be traced, lowered or converted, or what comes of it cannot run.
        FidelityError: it can, and the result is not faithful.
    """
    view = subject.view
    emitter = emitter_for(view.options)
    lowered = build_program(subject.call.traced, subject.example, rules, view.options, recorder)
    references: References | None = None
    if verify and emitter.open:
        with recorder.step("reference"):
            references = References(view, subject.signals, subject.call)
    names = Names.of(lowered)
    metadata = metadata_of(view, recorder, emitter.packages.values())
    with recorder.step("convert"), _quietly(f"the program cannot become a .{emitter.target}"):
        converted = emitter.convert(lowered.program, names, metadata.to_props())
    measurements: tuple[Measurement, ...] = ()
    if references and emitter.open:
        with recorder.step("verify"):
            measurements = references.compare(opened(emitter, converted.content, names))
            gate.check(measurements)
    report = Report(
        model=view.source.name,
        provenance=view.source.provenance,
        options=asdict(view.options),
        events=tuple(recorder.events),
        costs=tuple(recorder.costs.values()),
        seconds=dict(recorder.seconds),
        nodes=sum(converted.operators.values()),
        operators=dict(converted.operators),
        bytes=size_of(converted.content),
        fidelity=measurements,
        min_snr_db=gate.min_snr_db if references else None,
        decided=recorder.decided,
        warnings=(*view.source.warnings, *_unmeasured(emitter, verify), *gate.warnings(measurements)),
        memory=recorder.memory.samples(),
    )
    return EmittedModel(emitter.target.name, converted.content, metadata, report)


def opened(emitter: Emitter, content: Content, names: Names) -> Run:
    """Open what an emitter that can has made, to be run.

    Raises:
        CompilerError: it cannot be opened; or later, it cannot run.
    """
    assert emitter.open is not None, "the caller has looked"
    with _quietly(f"the .{emitter.target} cannot be opened"):
        runs = emitter.open(content, names)

    def run(inputs: Arrays) -> Arrays:
        with _quietly(f"the .{emitter.target} cannot run"):
            return runs(inputs)

    return run


@contextmanager
def _quietly(failure: str) -> Iterator[None]:
    """Silence a tool, and tell its errors in one line.

    Raises:
        CompilerError: for whatever it raises.
    """
    try:
        with quiet(), quiet_libraries():
            yield
    except Exception as error:  # the tools' errors share no narrower base
        raise CompilerError(f"{failure} ({error_in_one_line(error)})") from error


def _unmeasured(emitter: Emitter, verify: bool) -> tuple[str, ...]:
    if emitter.open or not verify:
        return ()
    return (f"a .{emitter.target} cannot run on this system: it was converted and read back, not measured",)
