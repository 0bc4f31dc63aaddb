"""compile(): the pipeline, read from top to bottom."""

from __future__ import annotations

import copy
import importlib.metadata
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.artifact import CompiledModel, serialized
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.fidelity import Gate, measure, probe_signals, run_eager
from onnx_demucs_compiler.loading import SourceModel, as_source_model
from onnx_demucs_compiler.loading.demucs_models.length import at_length
from onnx_demucs_compiler.metadata import ArtifactMetadata
from onnx_demucs_compiler.options import DEFAULT_OPSET, Options
from onnx_demucs_compiler.quantisation import Quantiser
from onnx_demucs_compiler.report import Recorder, Report
from onnx_demucs_compiler.rule import Stage
from onnx_demucs_compiler.ruleset import RuleSet, default_rules
from onnx_demucs_compiler.runtime.segments import DEFAULT_OVERLAP
from onnx_demucs_compiler.stages.decompose import lower
from onnx_demucs_compiler.stages.fake_shapes import overlap_add_by_shape
from onnx_demucs_compiler.stages.finish import finished
from onnx_demucs_compiler.stages.flops import flops
from onnx_demucs_compiler.stages.garbage import garbage_kept
from onnx_demucs_compiler.stages.measure import initializer_bytes, node_count, operator_histogram
from onnx_demucs_compiler.stages.opset import at_opset
from onnx_demucs_compiler.stages.quiet import quiet
from onnx_demucs_compiler.stages.recurrent import lstm_by_shape
from onnx_demucs_compiler.stages.rewrite import rewritten
from onnx_demucs_compiler.stages.storage import ROUNDED, stored_bytes
from onnx_demucs_compiler.stages.substitute import substituted
from onnx_demucs_compiler.stages.surgery import operated
from onnx_demucs_compiler.stages.tidy import tidy
from onnx_demucs_compiler.stages.translate import name_open_axes, to_onnx
from onnx_demucs_compiler.stages.weights import weight_bytes
from onnx_demucs_compiler.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import onnx_ir as ir
    from torch.export import ExportedProgram

    from onnx_demucs_compiler.fidelity import Measurement

PACKAGES = ("demucs", "numpy", "onnx", "onnx-graphsurgeon", "onnx-ir", "onnxscript", "torch")


def compile(  # noqa: A001 - the verb of the trade
    model: torch.nn.Module | SourceModel | str,
    rules: RuleSet | None = None,
    *,
    target: str = "portable",
    interface: str = "waveform",
    stems: tuple[str, ...] | None = None,
    precision: str = "fp32",
    opset: int | None = None,
    batch: int | str = 1,
    length: int | str = "segment",
    track: bool = False,
    overlap: float = DEFAULT_OVERLAP,
    two_stems: str | None = None,
    other_method: str = "add",
    verify: bool = True,
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    repo: Path | None = None,
    trust_checkpoint: bool = False,
    min_snr_db: float | None = None,
    extra_signals: Mapping[str, torch.Tensor] | None = None,
    on_step: Callable[[str], None] | None = None,
) -> CompiledModel:
    """Compile a model to one ONNX graph, and prove it equal to the model before handing it out.

    Args:
        model: an ``nn.Module`` taking ``[batch, channels, samples]`` float32 (any module with
            ``example_input``), or what the command line takes: a pretrained name, a ``.th`` file,
            ``untrained:NAME``. The module is not changed.
        rules: the rewrites to apply; the bundled defaults when None.
        target: ``"portable"``, ``ai.onnx`` operators only, or ``"ort"``, with those of ``com.microsoft``
            that ONNX Runtime's own packages have.
        interface: ``"waveform"``: ``mix [B, C, N]`` to ``stems [B, S, C, N]``; or ``"core"``,
            ``"spectral"``, ``"openkara"``, which leave the STFT to the host
            (:mod:`onnx_demucs_compiler.interface`).
        stems: sources to keep, in this order; all when None.
        precision: ``"fp32"``; ``"fp16-weights"``, computed in float32 from weights stored in float16; or
            ``"int8"``, as many weights in eight bits as keep ``min_snr_db``.
        opset: of ``ai.onnx``, 17 to 26; 18 when None.
        batch: a number, or ``"dynamic"``.
        length: samples in one run, a multiple of the model's hop; ``"segment"`` is its own, ``"dynamic"``
            leaves it open.
        track: ``mix [C, samples]`` of any length to ``stems [S, C, samples]`` in one call: the segments are
            cut, weighted and added inside, equal to ``demucs.apply.apply_model(shifts=0)`` within the
            normalisation of ``demucs.api.Separator``.
        overlap: with ``track``, the part of each segment that the next covers too.
        two_stems: keep this source, and beside it what is left without it, called ``no_NAME``.
        other_method: what that is: ``"add"``, the sum of the others, or ``"minus"``, the mix less the one.
        verify: measure SNR against the model in float64 and refuse to return what falls below the gate.
        example_input: what to trace with, where the model does not say what it takes.
        repo: a folder of checkpoints in which a name is looked up.
        trust_checkpoint: let checkpoints run code of their maker's choosing, as demucs does.
        min_snr_db: the gate in dB. When None 100, or 12 less than PyTorch's own float32 reaches, if that is
            lower; 50 where weights had to be rounded; 40, to be searched for, with ``int8``.
        extra_signals: audio to verify on besides noise, a synthetic song and silence, by name, each in
            the shape of the model's input.
        on_step: called with the name of each step as it starts.

    Raises:
        UsageError: an option's value is unknown or not supported yet, or the model's name is unknown.
        CompilerError: the model cannot be loaded, traced, translated, or checked.
        FidelityError: it can, and the result is not faithful.
    """
    options = Options(
        target=target,
        interface=interface,
        precision=precision,
        opset=DEFAULT_OPSET if opset is None else opset,
        batch=batch,
        length=length,
        track=track,
        overlap=overlap,
        stems=stems,
        two_stems=two_stems,
        other_method=other_method,
    )
    if precision == "int8" and not verify:
        raise UsageError("precision=int8 is chosen by measuring; leave out verify=False")
    rules = default_rules() if rules is None else rules
    if not isinstance(rules, RuleSet):
        raise UsageError(f"rules is a {type(rules).__name__}; give a RuleSet, such as default - 'NAME'")
    storing = _of_precision(rules)
    if precision != "fp32" and not any(rule.name.startswith(precision) for rule in storing):
        raise UsageError(f"precision={precision} is the work of a rule that was left out; take it in again")
    recorder = Recorder(on_step)
    with recorder.step("load"):
        source = as_source_model(
            model, example_input=example_input, repo=repo, trust_checkpoint=trust_checkpoint
        )
        source = _private_copy(source)
        source = at_length(source, options.length)
        options = replace(options, sources=source.sources)
        subject = Subject(source, options)
        example = subject.example()
        signals = _signals(subject, extra_signals or {}) if verify else {}
    searched = storing if precision == "int8" else RuleSet(())
    forward_checked = partial(_forward_checked_on_failure, source, example)
    with forward_checked():
        graph = build(source, example, rules - [rule.name for rule in searched], options, recorder)
    quantiser: Quantiser | None = None
    if precision == "int8":
        with recorder.step("quantise"):
            quantiser = Quantiser(graph, searched.stage(Stage.SURGERY, target), options, subject, signals)
            options = replace(options, keep=quantiser.keep(Gate.of(precision, min_snr_db).min_snr_db))
            graph = quantiser.quantised(options.keep, recorder)
    with recorder.step("finish"), forward_checked(), quiet():
        at_opset(graph, options.opset)
        stored = stored_bytes(graph)
        metadata = _metadata(subject, recorder, stored)
        proto = finished(graph, source.name, metadata.to_props())
        data = serialized(proto)
    gate = Gate.of(precision, min_snr_db, rounded=ROUNDED in stored)
    measurements: tuple[Measurement, ...] = ()
    if verify:
        with recorder.step("verify"):
            measurements = quantiser.measure(data) if quantiser else measure(data, subject, signals)
            gate.check(measurements)
    report = Report(
        model=source.name,
        provenance=source.provenance,
        options=asdict(options),
        events=tuple(recorder.events),
        costs=tuple(recorder.costs.values()),
        seconds=dict(recorder.seconds),
        nodes=node_count(graph),
        operators=operator_histogram(graph),
        bytes=len(data),
        flop=flops(graph),
        constant_bytes=initializer_bytes(graph) - weight_bytes(graph, subject.traced.state_dict()),
        stored=stored,
        opset=options.opset,
        ir_version=proto.ir_version,
        fidelity=measurements,
        min_snr_db=gate.min_snr_db if verify else None,
        speedup=quantiser.speedup(data) if quantiser else None,
    )
    return CompiledModel(proto, metadata, report)


def _signals(subject: Subject, extra: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, ...]]:
    """What to verify on, by name, in the shape of the model's input."""
    signals = probe_signals(subject.probe(), subject.source.sample_rate)
    return signals | {name: subject.fit(signal) for name, signal in extra.items()}


def _of_precision(rules: RuleSet) -> RuleSet:
    """The rules that decide how weights are stored, of a graph made in float32 by the others."""
    return RuleSet(rule for rule in rules if "precision" in rule.tags)


@garbage_kept()
@lstm_by_shape()
def build(
    source: SourceModel,
    example: tuple[torch.Tensor, ...],
    rules: RuleSet,
    options: Options,
    recorder: Recorder,
) -> ir.Model:
    """The five stages: from a module to a final graph."""
    subject = Subject(source, options)

    def of(stage: Stage) -> Any:
        return rules.stage(stage, options.target)

    inputs = subject.inputs(*example)
    shapes = subject.dynamic_shapes()
    with recorder.step("trace"), quiet(), substituted(source.module, of(Stage.SUBSTITUTE), recorder):
        program = _export(subject, inputs, shapes)
        names = program.graph_signature.user_inputs
    with recorder.step("decompose"), quiet():
        program = lower(program, of(Stage.DECOMPOSE), recorder, shapes)
    with recorder.step("translate"), quiet():
        model = to_onnx(program, of(Stage.TRANSLATE), DEFAULT_OPSET, recorder, names, subject.outputs)
        name_open_axes(model, subject.open_axes())
    with recorder.step("rewrite"), quiet():
        tidy(model)
        rewritten(model, of(Stage.REWRITE), recorder)
    with recorder.step("surgery"), quiet():
        operated(model, of(Stage.SURGERY), options, recorder)
    return model


def _export(
    subject: Subject, inputs: tuple[torch.Tensor, ...], shapes: tuple[dict[int, Any], ...] | None
) -> ExportedProgram:
    source = subject.source
    try:
        with torch.no_grad(), overlap_add_by_shape():
            return torch.export.export(subject.traced, inputs, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        raise CompilerError(f"torch.export cannot trace {source.name}: {_first_line(error)}") from error


@contextmanager
def _forward_checked_on_failure(source: SourceModel, example: tuple[torch.Tensor, ...]) -> Iterator[None]:
    """Where the graph cannot be made, say so only if the module does take the example.

    Raises:
        CompilerError: what was raised inside, or that the module's forward does not take the example.
    """
    try:
        yield
    except CompilerError:
        try:
            run_eager(source.module, example)
        except Exception as error:
            shapes = ", ".join(f"{item.dtype} {list(item.shape)}".removeprefix("torch.") for item in example)
            raise CompilerError(
                f"{source.name}: forward fails on {shapes} ({_first_line(error)}); "
                "give what it takes as example_input"
            ) from error
        raise


def _private_copy(source: SourceModel) -> SourceModel:
    try:
        module = copy.deepcopy(source.module).float().cpu().eval()
    except RuntimeError as error:
        raise CompilerError(f"{source.name} cannot be copied ({_first_line(error)})") from error
    return source.with_module(module.requires_grad_(False))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _metadata(subject: Subject, recorder: Recorder, stored: dict[str, int]) -> ArtifactMetadata:
    source, options = subject.source, subject.options
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return ArtifactMetadata(
        sources=subject.stems,
        sample_rate=source.sample_rate or 0,
        audio_channels=source.audio_channels or 0,
        segment=source.segment or 0,
        interface=options.interface,
        precision=options.precision,
        target=options.target,
        model=source.name,
        weights=source.weights_digest(),
        provenance=source.provenance,
        checkpoints=source.checkpoints,
        rules=tuple(name for name, cost in recorder.costs.items() if cost.fires),
        other_method=options.other_method if options.two_stems else "",
        model_sources=source.sources,
        n_fft=subject.n_fft,
        batch=str(options.batch),
        length="dynamic" if options.length == "dynamic" else "segment",
        overlap=options.overlap if options.track else None,
        stored=tuple(stored.items()),
        versions=tuple(({"onnx-demucs-compiler": __version__} | versions).items()),
    )
