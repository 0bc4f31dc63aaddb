"""compile(): the pipeline, read from top to bottom."""

from __future__ import annotations

import gc
from dataclasses import asdict, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack, overload

import onnx

from onnx_demucs_compiler.artifact.compiled import CompiledModel
from onnx_demucs_compiler.artifact.digest import digest
from onnx_demucs_compiler.building import EXPORTED_WITH, Subject, build, metadata_of
from onnx_demucs_compiler.checking.fidelity import Gate, References, probe_signals
from onnx_demucs_compiler.checking.grouping import Choice
from onnx_demucs_compiler.checking.promises import check_alone, promise_named
from onnx_demucs_compiler.checking.quantisation import Quantiser, account, no_gain, options_for, speedup
from onnx_demucs_compiler.checking.target_runtimes import check_installed, packages_of, sessions
from onnx_demucs_compiler.checking.timing import seconds_by_operator
from onnx_demucs_compiler.emit.pipeline import check_emittable
from onnx_demucs_compiler.emit.pipeline import emit as emit_model
from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.graph.flops import flops
from onnx_demucs_compiler.graph.measure import (
    bytes_by_operator,
    initializer_bytes,
    node_count,
    operator_histogram,
)
from onnx_demucs_compiler.graph.storage import COMPUTED, INT8, LOSSLESS, ROUNDED, STORED, stored_bytes
from onnx_demucs_compiler.graph.weights import weight_bytes
from onnx_demucs_compiler.loading import SourceModel, as_source_model
from onnx_demucs_compiler.observe.blame import VerifyEach
from onnx_demucs_compiler.observe.observer import Observers
from onnx_demucs_compiler.options import DEFAULT_OPSET, STORED_AS, Options
from onnx_demucs_compiler.report import Recorder, Report
from onnx_demucs_compiler.rules.ruleset import RuleSet, bundled, default_rules
from onnx_demucs_compiler.runtime.segments import DEFAULT_OVERLAP
from onnx_demucs_compiler.stages.contract import held_to_contract, providers_of
from onnx_demucs_compiler.stages.driver import apply_rules
from onnx_demucs_compiler.stages.finish import finish
from onnx_demucs_compiler.stages.opset import restate_in_opset
from onnx_demucs_compiler.tracing.copies import private_copy
from onnx_demucs_compiler.tracing.first_call import first_call
from onnx_demucs_compiler.tracing.quiet import quiet
from onnx_demucs_compiler.view.lengths import at_length
from onnx_demucs_compiler.view.model_view import ModelView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import onnx_ir as ir
    import torch

    from onnx_demucs_compiler.artifact.emitted import EmittedModel
    from onnx_demucs_compiler.checking.fidelity import Measurement
    from onnx_demucs_compiler.observe.observer import Observer


class Choices(TypedDict, total=False):
    """The options of :func:`compile` but for ``emit``, which decides what comes out."""

    target: str
    interface: str
    stems: tuple[str, ...] | None
    precision: str
    quality: str | None
    opset: int | None
    batch: int | str
    length: int | str
    track: bool
    overlap: float
    two_stems: str | None
    other_method: str
    fold_weights: bool
    weights_license: str
    verify: bool
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None
    repo: Path | None
    config: Path | None
    trust_checkpoint: bool
    min_snr_db: float | None
    extra_signals: Mapping[str, torch.Tensor] | None
    on_step: Callable[[str], None] | None
    observer: Observer | None
    profile: bool
    verify_each: bool
    stop_after: str | None


@overload
def compile(  # noqa: A001 - the verb of the trade
    model: torch.nn.Module | SourceModel | str | Path,
    rules: RuleSet | None = None,
    *,
    emit: None = None,
    **choices: Unpack[Choices],
) -> CompiledModel: ...


@overload
def compile(  # noqa: A001
    model: torch.nn.Module | SourceModel | str | Path,
    rules: RuleSet | None = None,
    *,
    emit: str,
    **choices: Unpack[Choices],
) -> EmittedModel: ...


def compile(  # noqa: A001
    model: torch.nn.Module | SourceModel | str | Path,
    rules: RuleSet | None = None,
    *,
    target: str = "portable",
    emit: str | None = None,
    interface: str = "waveform",
    stems: tuple[str, ...] | None = None,
    precision: str | None = None,
    quality: str | None = None,
    opset: int | None = None,
    batch: int | str = 1,
    length: int | str = "segment",
    track: bool = False,
    overlap: float = DEFAULT_OVERLAP,
    two_stems: str | None = None,
    other_method: str = "add",
    fold_weights: bool = False,
    weights_license: str = "",
    verify: bool = True,
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    repo: Path | None = None,
    config: Path | None = None,
    trust_checkpoint: bool = False,
    min_snr_db: float | None = None,
    extra_signals: Mapping[str, torch.Tensor] | None = None,
    on_step: Callable[[str], None] | None = None,
    observer: Observer | None = None,
    profile: bool = False,
    verify_each: bool = False,
    stop_after: str | None = None,
) -> CompiledModel | EmittedModel:
    """Compile a model to one ONNX graph, checked against the model.

    With ``emit`` it becomes a file of another format instead, made from the program after DECOMPOSE.

    Args:
        model: an ``nn.Module`` taking ``[batch, channels, samples]`` float32 (any module with
            ``example_input``), or what the command line takes: a pretrained name, the path of a
            ``.th`` file, ``untrained:NAME``. The module is not changed.
        rules: the rewrites to apply; the bundled defaults when None.
        target: ``"portable"``, ``ai.onnx`` operators only; ``"ort"``, with those of ``com.microsoft`` that
            ONNX Runtime's own packages have; ``"web"``, for onnxruntime-web; or ``"openvino"``, which is
            measured there too.
        emit: ``"pt2"``, the saved ``torch.export.ExportedProgram``, ``"tflite"``, for LiteRT, ``"pte"``, for
            ExecuTorch, or ``"mlpackage"``, for Core ML, in place of an ONNX file. It excludes what works on
            ONNX graphs: ``target``, ``stems``, ``two_stems``, ``opset``, ``track``, ``fold_weights``,
            ``profile``, ``verify_each`` and ``stop_after``.
        interface: ``"waveform"``: ``mix [B, C, N]`` to ``stems [B, S, C, N]``; or ``"core"``,
            ``"spectral"``, ``"openkara"``, which leave the STFT to the host
            (:mod:`onnx_demucs_compiler.view.cuts`).
        stems: sources to keep, in this order; all when None.
        precision: ``"fp32"``; ``"fp16-weights"``, computed in float32 from weights stored in float16; or
            ``"int8"``, as many weights in eight bits as keep ``min_snr_db``; for ``emit="mlpackage"``
            ``"fp32"`` or ``"fp16"``, computed in half precision. When None what the target prefers: float32,
            or for ``"web"`` float16 for what it says exactly and float32 for the rest.
        quality: a promise (:mod:`onnx_demucs_compiler.checking.promises`) in place of ``precision`` and
            ``min_snr_db``: ``"exact"``, float32 under its gate; ``"careful"`` and ``"fast"``, as fast as can
            be with an error to the mix of at most -45 and -36 dB, measured on ``extra_signals`` too.
        opset: of ``ai.onnx``, 17 to 26; 18 when None.
        batch: a number, or ``"dynamic"``.
        length: samples in one run, a multiple of the model's hop; ``"segment"`` is its own, ``"dynamic"``
            leaves it open: of a module that is not Demucs the last axis of each input as long as the first.
            Of HDemucs, time-domain Demucs and bags of them it takes segments of the several lengths that
            demucs gives these, with ``track`` too.
        track: ``mix [C, samples]`` of any length to ``stems [S, C, samples]`` in one call: the segments are
            cut, weighted and added inside, equal to ``demucs.apply.apply_model(shifts=0)`` within the
            normalisation of ``demucs.api.Separator``.
        overlap: with ``track``, the part of each segment that the next covers too.
        two_stems: keep this source, and beside it what is left without it, called ``no_NAME``.
        other_method: what that is: ``"add"``, the sum of the others, or ``"minus"``, the mix less the one.
        fold_weights: compute here what is computed from weights alone, as quantisers and converters want it;
            otherwise the file holds each weight once, and a runtime computes that when it loads the file.
        weights_license: their licence, a name or an SPDX expression, for the metadata (``license``).
        verify: measure SNR against the model in float64 and refuse to return what falls below the gate.
        example_input: what to trace with, where the model does not say what it takes; float32 is made of
            other floating-point numbers.
        repo: a folder of checkpoints in which a name is looked up.
        config: the configuration of a checkpoint that has one in a file of its own.
        trust_checkpoint: let checkpoints run code of their maker's choosing, as demucs does.
        min_snr_db: the gate in dB (:class:`onnx_demucs_compiler.checking.fidelity.Gate`). When None 100, or
            12 less than PyTorch's own float32 reaches, if that is lower, with a warning in the report, but no
            less than 20; 50 where weights had to be rounded; 40, to be searched for, with ``int8``.
        extra_signals: audio to verify on besides noise, a synthetic song and silence, by name, each in
            the shape of the model's input.
        on_step: called with the name of each step as it starts.
        observer: shown the program and the graph between two rules, such as
            :class:`onnx_demucs_compiler.observe.dump.Dump`.
        profile: run the graph with ONNX Runtime's profiler too, for the report's time by operator.
        verify_each: measure parity after every rule too, so that a loss of it names the rule.
        stop_after: the name of the last rule to apply to the graph, which is finished as it is then; its
            metadata and a warning say so.

    Raises:
        UsageError: an option's value is unknown or excludes another, or the model's name is unknown.
        CompilerError: the model cannot be loaded, traced, translated, or checked.
        FidelityError: it can, and the result is not faithful.
    """
    options = Options(
        target=target,
        emit=emit,
        interface=interface,
        precision=precision or "fp32",
        opset=DEFAULT_OPSET if opset is None else opset,
        batch=batch,
        length=length,
        track=track,
        overlap=overlap,
        stems=stems,
        two_stems=two_stems,
        other_method=other_method,
        fold_weights=fold_weights,
        weights_license=weights_license,
        quality=quality,
    )
    if precision is None:
        preferred = options.made_for.precision
        options = replace(options, precision=preferred, lossless=preferred != "fp32")
    promise = promise_named(quality) if quality else None
    if promise:
        check_alone(precision, min_snr_db, verify=verify)
        if promise.reduced:
            options = replace(options, precision="int8")
    asked = Gate.of(options.precision, min_snr_db)
    if precision == "int8" and not verify:
        raise UsageError("precision=int8 is chosen by measuring; leave out verify=False")
    rules = default_rules() if rules is None else rules
    if not isinstance(rules, RuleSet):
        raise UsageError(f"rules is a {type(rules).__name__}; give a RuleSet, such as default - 'NAME'")
    if verify_each and not verify:
        raise UsageError("verify_each measures parity; leave out verify=False")
    if emit is not None:
        check_emittable(options, profile=profile, verify_each=verify_each, stop_after=stop_after)
    if stop_after is not None:
        rules = rules.until(stop_after)
    if verify:
        check_installed(options.made_for)
    storing = rules.storing(options.precision, options.made_for)
    is_stored = precision is not None and precision in STORED_AS[precision]
    if is_stored and precision not in {rule.precision for rule in storing}:
        raise UsageError(f"precision={precision} is the work of a rule that was left out; put it back")
    recorder = Recorder(on_step, None if observer is None else Observers(observer))
    with recorder.step("load"):
        source = as_source_model(
            model,
            example_input=example_input,
            repo=repo,
            config=config,
            trust_checkpoint=trust_checkpoint,
        )
        source = private_copy(source, owned=isinstance(model, str | Path))
        source, options = at_length(source, options)
        options = replace(options, sources=source.sources)
        view = ModelView(source, options)
        example = view.example()
        signals = _signals(view, extra_signals or {}) if verify else {}
        call = first_call(source, example)
    if emit is not None:
        return emit_model(Subject(view, example, signals, call), rules, asked, recorder, verify=verify)
    each: VerifyEach | None = None
    if verify_each:
        with recorder.step("reference"):
            each = VerifyEach(view, _rebuild(call.traced, example, options))
        recorder.observer = Observers(recorder.observer, each)
    graph = build(call.traced, example, rules, options, recorder)
    references: References | None = None
    if verify:
        with recorder.step("reference"):
            references = References(view, signals, call)
    plain: ir.Model | None = None
    choice = Choice()
    if options.precision == "int8" and references:
        with recorder.step("quantise"):
            plain = graph.clone()
            if promise:
                options, choice = options_for(promise, graph, storing, options, references)
            else:
                choice = Quantiser(graph, storing, options, references).smallest(asked)
                options = replace(options, keep=choice.keep)
    with recorder.step("store"), quiet():
        apply_rules(graph, storing, options, recorder)
    with recorder.step("finish"), quiet():
        restate_in_opset(graph, options.opset)
        stored, computed = stored_bytes(graph), _computed(graph)
        hollow = finish(graph, source.name)
        proto = hollow.proto
        if options.lossless or promise:
            options = replace(options, precision=_precision_of(stored))
        gate = promise.gate if promise else Gate.of(options.precision, min_snr_db, rounded=ROUNDED in stored)
        metadata = replace(
            metadata_of(view, recorder, (*EXPORTED_WITH, *(packages_of(options.made_for) if verify else ()))),
            precision=options.precision,
            stored=tuple(stored.items()),
            providers=providers_of(proto, options.made_for),
            digest=digest(*hollow),
            stopped_after=stop_after or "",
            quality=quality or "",
            promise=gate.words if promise else "",
        )
        onnx.helper.set_model_props(proto, dict(sorted(metadata.to_props().items())))
        data, places = hollow.serialized(), hollow.places()
        # In another opset an operator's revision is what was asked for, whoever put it in.
        own = [rule.name for rule in bundled()] if options.opset == DEFAULT_OPSET else []
        breaches = tuple(held_to_contract(proto, len(data), options.made_for, own))
        report = Report(
            model=source.name,
            provenance=source.provenance,
            options=asdict(options),
            events=tuple(recorder.events),
            costs=tuple(recorder.costs.values()),
            seconds={},
            nodes=node_count(graph),
            operators=operator_histogram(graph),
            operator_bytes=bytes_by_operator(graph),
            bytes=len(data),
            flop=flops(graph),
            constant_bytes=initializer_bytes(graph) - weight_bytes(graph, view.traced.state_dict()),
            stored=stored,
            opset=options.opset,
            ir_version=proto.ir_version,
            groups=choice.groups,
            decided=recorder.decided,
            warnings=source.warnings,
        )
        probe = view.inputs(*view.probe()) if profile else ()
    del source, view, call, graph, hollow
    gc.collect()  # so that a session finds room where these had the weights
    measurements: tuple[Measurement, ...] = ()

    def falls() -> tuple[str, ...]:
        return each.falls(rules, recorder, measurements) if each else ()

    def blame(runtime: tuple[str, ...]) -> tuple[str, ...]:
        return runtime + (falls() or ((each.largest(measurements),) if each else ()))

    if references:
        with recorder.step("verify"):
            for runtime, session in sessions(options.made_for, data, proto, places):
                measurements = references.measure(session)
                gate.check(measurements, partial(blame, runtime))
            del session
    operator_seconds: dict[str, float] = {}
    if profile:
        with recorder.step("profile"):
            operator_seconds = seconds_by_operator(data, probe)
    speed = speedup(references, plain, data) if references and plain else None
    report = replace(
        report,
        seconds=dict(recorder.seconds),
        fidelity=measurements,
        min_snr_db=gate.min_snr_db if verify and isfinite(gate.min_snr_db) else None,
        promise=gate.words if promise else "",
        chosen=account(promise, computed, choice, measurements) if promise else "",
        speedup=speed,
        parity=tuple(each.parity) if each else (),
        warnings=(
            *report.warnings,
            *breaches,
            *_partial(stop_after),
            *gate.warnings(measurements),
            *(no_gain(promise, speed) if promise and speed is not None else ()),
            *falls(),
        ),
        operator_seconds=operator_seconds,
        memory=recorder.memory.samples(),
    )
    return CompiledModel(onnx.load_model_from_string(data), metadata, report)


def _rebuild(
    traced: SourceModel, example: tuple[torch.Tensor, ...], options: Options
) -> Callable[[RuleSet], ir.Model]:
    return lambda some: build(traced, example, some, options, Recorder())


def _precision_of(stored: Mapping[str, int]) -> str:
    """The precision by which weights are stored."""
    if INT8 in stored or COMPUTED in stored:
        return "int8"
    return "fp16-weights" if LOSSLESS in stored or ROUNDED in stored else "fp32"


def _computed(graph: ir.Model) -> int:
    """The number of weights that are computed with in eight bits."""
    return sum(value.metadata_props.get(STORED) == COMPUTED for value in graph.graph.initializers.values())


def _partial(stop_after: str | None) -> tuple[str, ...]:
    return (f"the graph is as {stop_after} leaves it; later rules were not applied",) if stop_after else ()


def _signals(view: ModelView, extra: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, ...]]:
    """The signals to verify on, by name, in the input's shape."""
    signals = probe_signals(view.probe(), view.source.sample_rate)
    return signals | {name: view.fit(signal) for name, signal in extra.items()}
