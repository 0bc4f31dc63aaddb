"""From a module to its lowered program and its ONNX graph."""

from __future__ import annotations

import importlib.metadata
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch._dynamo.exc import UserError, UserErrorType

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
from onnx_demucs_compiler.errors import CompilerError, first_line
from onnx_demucs_compiler.loading import family_of
from onnx_demucs_compiler.observe.observer import Moment
from onnx_demucs_compiler.options import DEFAULT_OPSET
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.rules.rule import Stage
from onnx_demucs_compiler.stages.decompose import lower as apply_decompositions
from onnx_demucs_compiler.stages.driver import apply_rules
from onnx_demucs_compiler.stages.rewrite import apply_rewrites
from onnx_demucs_compiler.stages.substitute import substituted
from onnx_demucs_compiler.stages.tidy import tidy
from onnx_demucs_compiler.stages.translate import name_open_axes, to_onnx
from onnx_demucs_compiler.tracing.ancestry import parents_only
from onnx_demucs_compiler.tracing.by_example import decided_lines, export_by_example
from onnx_demucs_compiler.tracing.copies import light_copy
from onnx_demucs_compiler.tracing.decompositions import decomposed_node_by_node
from onnx_demucs_compiler.tracing.fake_shapes import overlap_add_by_shape
from onnx_demucs_compiler.tracing.garbage import garbage_kept
from onnx_demucs_compiler.tracing.graph_code import code_when_read
from onnx_demucs_compiler.tracing.quiet import quiet
from onnx_demucs_compiler.tracing.recurrent import lstm_by_shape
from onnx_demucs_compiler.tracing.source import error_in_one_line
from onnx_demucs_compiler.tracing.translations import translations_read_once
from onnx_demucs_compiler.view.model_view import ModelView
from onnx_demucs_compiler.view.ports import SURROUNDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import onnx_ir as ir
    from torch import nn
    from torch.export import ExportedProgram

    from onnx_demucs_compiler.loading import SourceModel
    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.rules.ruleset import RuleSet
    from onnx_demucs_compiler.tracing.first_call import FirstCall

    Shapes = tuple[dict[int, Any], ...] | None
    Export = Callable[[nn.Module, tuple[torch.Tensor, ...], Shapes], ExportedProgram]

TRACED_WITH = ("demucs", "numpy", "torch")
EXPORTED_WITH = ("onnx", "onnx-graphsurgeon", "onnx-ir", "onnxscript")


class Subject(NamedTuple):
    """A model that is ready to be compiled.

    Attributes:
        view: the model, seen through the options.
        example: the input to trace with.
        signals: mixes to measure on, by name.
        call: the model's first call, and what it left to trace.
    """

    view: ModelView
    example: tuple[torch.Tensor, ...]
    signals: Mapping[str, tuple[torch.Tensor, ...]]
    call: FirstCall


class Traced(NamedTuple):
    """A module's program, before any rule on ATen.

    Attributes:
        program: static but for the sizes that the options leave open.
        shapes: the open sizes, as torch.export took them.
        view: the module that it is of, seen through the options.
    """

    program: ExportedProgram
    shapes: tuple[dict[int, Any], ...] | None
    view: ModelView


class Lowered(NamedTuple):
    """A program after DECOMPOSE, in real arithmetic only.

    Attributes:
        program: static but for the sizes that the options leave open.
        inputs: names, in order, as the module calls them.
        view: the module that it is of, seen through the options.
    """

    program: ExportedProgram
    inputs: tuple[str, ...]
    view: ModelView


@contextmanager
def building() -> Iterator[None]:
    """Keep torch.export fast and its shapes general."""
    with (
        garbage_kept(),
        code_when_read(),
        parents_only(),
        translations_read_once(),
        decomposed_node_by_node(),
        lstm_by_shape(),
        overlap_add_by_shape(),
    ):
        yield


def build(
    source: SourceModel,
    example: tuple[torch.Tensor, ...],
    rules: RuleSet,
    options: Options,
    recorder: Recorder,
) -> ir.Model:
    """Build a module's graph, final but for the storage of weights.

    What the trace writes on a module goes on a copy.

    Raises:
        CompilerError: it cannot be traced, lowered or translated.
    """
    with building():
        lowered = lower(trace(source, example, rules, options, recorder), rules, recorder)
        return finish_graph(translate(lowered, rules, recorder), rules, options, recorder)


def build_program(
    source: SourceModel,
    example: tuple[torch.Tensor, ...],
    rules: RuleSet,
    options: Options,
    recorder: Recorder,
) -> Lowered:
    """Trace and lower a module, and go no further.

    What the trace writes on a module goes on a copy.

    Raises:
        CompilerError: it cannot be traced or lowered.
    """
    with building():
        return lower(trace(source, example, rules, options, recorder), rules, recorder)


def trace(
    source: SourceModel,
    example: tuple[torch.Tensor, ...],
    rules: RuleSet,
    options: Options,
    recorder: Recorder,
) -> Traced:
    """Trace a module under the rules of SUBSTITUTE.

    Where a trace without numbers fails, the example decides what no input reaches.

    Raises:
        CompilerError: it cannot be traced.
    """
    subject = source, example, rules, options
    with recorder.step("trace"), quiet():
        try:
            traced = _traced(*subject, recorder, partial(_plain_export, trusted=_trusts(options)))
        except CompilerError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever torch raises
            _refuse_closed_sizes(error, source.name)
            traced = _traced_again(error, *subject)
        recorder.decided = decided_lines(traced.program)
    recorder.observer.program(Moment(Stage.SUBSTITUTE, 0, "trace"), traced.program)
    return traced


def _traced(
    source: SourceModel,
    example: tuple[torch.Tensor, ...],
    rules: RuleSet,
    options: Options,
    recorder: Recorder,
    export: Export,
) -> Traced:
    source = source.with_module(light_copy(source.module))
    view = ModelView(source, options)
    inputs, shapes = view.inputs(*example), view.dynamic_shapes()
    inputs = tuple(value.clone() for value in inputs)  # torch.export makes one input of a tensor given twice
    substitutes = rules.stage(Stage.SUBSTITUTE, options.made_for)
    with substituted(source.module, substitutes, recorder), torch.no_grad():
        return Traced(export(view.traced, inputs, shapes), shapes, view)


def _traced_again(
    error: Exception,
    source: SourceModel,
    example: tuple[torch.Tensor, ...],
    rules: RuleSet,
    options: Options,
) -> Traced:
    """The module by its example, or the plain trace's error.

    The latter knows better what is wrong. The rules that fire again are recorded already.
    """
    try:
        return _traced(source, example, rules, options, Recorder(), export_by_example)
    except CompilerError:
        raise
    except Exception:  # noqa: BLE001 - whatever torch raises
        raise CompilerError(f"torch.export cannot trace {source.name}: {error_in_one_line(error)}") from error


def _refuse_closed_sizes(error: Exception, name: str) -> None:
    """Name a size that was to stay open and cannot."""
    if isinstance(error, UserError) and error.error_type is UserErrorType.CONSTRAINT_VIOLATION:
        details = (line.strip(" -").partition(". If ")[0] for line in str(error).splitlines()[1:])
        found = f"{first_line(error).partition(' For more')[0]} {next(details, '')}"
        raise CompilerError(f"torch.export cannot trace {name}: {found}; give a number") from error


def _trusts(options: Options) -> bool:
    """True if tests of many lengths stand in for torch.export's proofs."""
    return options.context is not None


def _plain_export(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], shapes: Shapes, *, trusted: bool
) -> ExportedProgram:
    return torch.export.export(
        module,
        inputs,
        dynamic_shapes=shapes,
        strict=False,
        prefer_deferred_runtime_asserts_over_guards=trusted,
    )


def lower(traced: Traced, rules: RuleSet, recorder: Recorder) -> Lowered:
    """Apply the rules of DECOMPOSE to a program.

    The program stays as it is.
    """
    program, shapes, view = traced
    names = tuple(program.graph_signature.user_inputs)
    decompositions = rules.stage(Stage.DECOMPOSE, view.options.made_for)
    with recorder.step("decompose"), quiet():
        trusted = _trusts(view.options)
        program = apply_decompositions(program, decompositions, recorder, shapes, trusted=trusted)
    recorder.observer.program(Moment(Stage.DECOMPOSE, 0, "decompose"), program)
    return Lowered(program, names, view)


def translate(lowered: Lowered, rules: RuleSet, recorder: Recorder) -> ir.Model:
    """Translate a program under the rules of TRANSLATE, and tidy its graph.

    The program stays as it is.
    """
    program, names, view = lowered
    translations = rules.stage(Stage.TRANSLATE, view.options.made_for)
    with recorder.step("translate"), quiet():
        model = to_onnx(program, translations, DEFAULT_OPSET, recorder, names, view.outputs)
        name_open_axes(model, view.open_axes())
        recorder.observer.model(Moment(Stage.TRANSLATE, 0, "translate"), model)
        tidy(model)
        recorder.observer.model(Moment(Stage.REWRITE, 0, "tidy"), model)
    return model


def finish_graph(model: ir.Model, rules: RuleSet, options: Options, recorder: Recorder) -> ir.Model:
    """Apply the rules of REWRITE and SURGERY to a graph, in place."""
    with recorder.step("rewrite"), quiet():
        apply_rewrites(model, rules.stage(Stage.REWRITE, options.made_for), options, recorder)
    with recorder.step("surgery"), quiet():
        apply_rules(model, rules.stage(Stage.SURGERY, options.made_for), options, recorder)
    return model


def metadata_of(view: ModelView, recorder: Recorder, packages: Iterable[str]) -> ArtifactMetadata:
    """The facts of an artifact, but for those that its bytes tell.

    Args:
        view: what was compiled, and how.
        recorder: which rules fired.
        packages: those that made it of the lowered program.
    """
    source, options = view.source, view.options
    context = None if options.track else options.context
    hop, shortest = _open_lengths(view)
    made_with = sorted({*TRACED_WITH, *packages})
    versions = {name: importlib.metadata.version(name) for name in made_with}
    return ArtifactMetadata(
        sources=view.stems,
        sample_rate=source.sample_rate or 0,
        audio_channels=source.audio_channels or 0,
        segment=source.segment or 0,
        interface=SURROUNDED if context else options.interface,
        precision=options.precision,
        target=options.made_for.name,
        model=source.name,
        weights=source.weights_digest(),
        provenance=source.provenance,
        checkpoints=source.checkpoints,
        rules=tuple(name for name, cost in recorder.costs.items() if cost.fires),
        other_method=options.other_method if options.two_stems else "",
        model_sources=source.sources,
        n_fft=view.n_fft,
        batch=str(options.batch),
        length="dynamic" if options.length == "dynamic" else "segment",
        overlap=options.overlap if options.track else None,
        fold_weights=options.fold_weights,
        differing_segments=_differing_segments(view),
        weights_license=options.weights_license,
        fade_step=0 if options.track else source.fade_step,
        context=context,
        hop=hop,
        shortest=shortest,
        versions=tuple(({"onnx-demucs-compiler": __version__} | versions).items()),
    )


def _open_lengths(view: ModelView) -> tuple[int, int]:
    """The divisor of an open length, and the least; or zeros."""
    options, family = view.options, family_of(view.source.module)
    if options.length != "dynamic":
        return 0, 0
    if options.context is not None:
        return 1, 2 * options.context + 1
    hop = family.hop(view.source.module)
    return hop, family.min_hops * hop


def _differing_segments(view: ModelView) -> str:
    source = view.source
    if view.options.track and view.options.context is not None:
        return "none"
    return family_of(source.module).differing_segments(source.module, source.segment or 0)
