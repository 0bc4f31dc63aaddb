"""Measuring an artifact on disk against the model it was compiled from."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.artifact.digest import change, producer
from onnx_demucs_compiler.artifact.metadata import PREFIX, ArtifactMetadata
from onnx_demucs_compiler.artifact.reading import load_artifact
from onnx_demucs_compiler.checking.fidelity import Gate, measure, probe_signals
from onnx_demucs_compiler.checking.other_engine import EngineSession
from onnx_demucs_compiler.checking.promises import promise_named
from onnx_demucs_compiler.engines import engine_named
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.graph.storage import ROUNDED
from onnx_demucs_compiler.loading import as_source_model, family_of
from onnx_demucs_compiler.options import LARGEST, Options
from onnx_demucs_compiler.runtime.segments import DEFAULT_OVERLAP
from onnx_demucs_compiler.targets import EMITTED
from onnx_demucs_compiler.tracing.copies import private_copy
from onnx_demucs_compiler.view.lengths import at_length
from onnx_demucs_compiler.view.model_view import ModelView
from onnx_demucs_compiler.view.ports import SURROUNDED

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import onnx
    import torch

    from onnx_demucs_compiler.checking.fidelity import Measurement
    from onnx_demucs_compiler.loading import SourceModel


class ChangedError(CompilerError):
    """The file is not as it was compiled.

    Attributes:
        measurements: of the file as it is; none where it fails too.
    """

    def __init__(self, told: str, measurements: tuple[Measurement, ...] = ()) -> None:
        self.measurements = measurements
        super().__init__(told)


def verify(
    path: str | os.PathLike[str],
    model: torch.nn.Module | SourceModel | str | Path | None = None,
    *,
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    repo: Path | None = None,
    config: Path | None = None,
    trust_checkpoint: bool = False,
    min_snr_db: float | None = None,
    extra_signals: Mapping[str, torch.Tensor] | None = None,
    engine: str | None = None,
) -> tuple[Measurement, ...]:
    """Check an artifact against its model in float64; leave the module unchanged.

    Args:
        path: the ``.onnx`` file.
        model: as for :func:`onnx_demucs_compiler.compile`; the name in the artifact's metadata when None.
        example_input: what the model takes, where it does not say.
        repo: a folder of checkpoints in which a name is looked up.
        config: the configuration of a checkpoint that has one in a file of its own.
        trust_checkpoint: let checkpoints run code of their maker's choosing, as demucs does.
        min_snr_db: the gate in dB; the artifact's promise or precision decides when None.
        extra_signals: audio to measure on besides noise, a synthetic song and silence.
        engine: what runs the file, by its name in :data:`onnx_demucs_compiler.engines.ENGINES`; ONNX Runtime
            when None.

    Returns:
        One measurement for each signal and stem.

    Raises:
        CompilerError: the file is not an artifact of this compiler, or was made from other weights; or the
            engine is not installed, refuses it, fails or ends.
        ChangedError: it was changed after it was compiled, whatever comes out.
        FidelityError: an output lies below the gate.
    """
    proto = load_artifact(Path(path))
    metadata = _metadata(Path(path), proto)
    found = change(proto, metadata)
    told = f"{path} was changed after it was compiled; {found.why}"
    gate = gate_of(metadata, min_snr_db, engine)
    source = as_source_model(
        metadata.model if model is None else model,
        example_input=example_input,
        repo=repo,
        config=config,
        trust_checkpoint=trust_checkpoint,
    )
    view, signals = seen_again(path, metadata, source, extra_signals or {})
    try:
        if engine is None:
            measurements = measure(proto, view, signals)
        else:
            with closing(EngineSession(engine_named(engine), Path(path))) as session:
                measurements = measure(session, view, signals)
        gate.check(measurements)
    except CompilerError as error:
        if found.changed:
            raise ChangedError(f"{told}; {error}") from error
        raise
    if found.changed:
        raise ChangedError(told, measurements)
    return measurements


def seen_again(
    path: str | os.PathLike[str],
    metadata: ArtifactMetadata,
    source: SourceModel,
    extra_signals: Mapping[str, torch.Tensor],
) -> tuple[ModelView, dict[str, tuple[torch.Tensor, ...]]]:
    """The model as it was compiled, and signals to measure on.

    Args:
        path: of the artifact, for messages.
        metadata: of the artifact.
        source: the model, of which a copy is viewed.
        extra_signals: audio to measure on besides noise, a synthetic song and silence.

    Raises:
        CompilerError: it was compiled from other weights.
    """
    source = private_copy(source)
    whole = metadata.context is None and metadata.overlap is None
    source, options = at_length(source, options_of(metadata, source), whole=whole)
    if source.weights_digest() != metadata.weights:
        raise CompilerError(
            f"{path} was compiled from other weights ({metadata.model}) than those of {source.name}; "
            "name the model it was compiled from"
        )
    view = ModelView(source, options)
    signals = probe_signals(view.probe(), source.sample_rate)
    return view, signals | {name: view.fit(signal) for name, signal in extra_signals.items()}


def gate_of(metadata: ArtifactMetadata, min_snr_db: float | None, engine: str | None = None) -> Gate:
    """The gate asked for in dB.

    That of the artifact's promise, or else of its precision, and of the engine when None.

    Raises:
        UsageError: the gate is infinite or NaN, or there is no such engine.
        CompilerError: no gate was asked for, and the precision has none, or the promise is not known.
    """
    if min_snr_db is None and metadata.quality:
        gate = promise_named(metadata.quality).gate
    else:
        gate = Gate.of(metadata.precision, min_snr_db, rounded=ROUNDED in dict(metadata.stored))
    if engine is None or min_snr_db is not None:
        return gate
    return replace(gate, min_snr_db=min(gate.min_snr_db, engine_named(engine).min_snr_db))


def options_of(metadata: ArtifactMetadata, source: SourceModel) -> Options:
    """The options with which an artifact was compiled from a model."""
    stems, two_stems = None, None
    if metadata.other_method:
        two_stems = metadata.sources[0]
    elif metadata.sources != source.sources:
        stems = metadata.sources
    emit = metadata.target if metadata.target in EMITTED else None
    return Options(
        target=Options.target if emit else metadata.target,
        emit=emit,
        interface="waveform" if metadata.interface == SURROUNDED else metadata.interface,
        batch=int(metadata.batch) if metadata.batch.isdecimal() else metadata.batch,
        length=_length(metadata, source),
        stems=stems,
        two_stems=two_stems,
        other_method=metadata.other_method or "add",
        track=metadata.overlap is not None,
        overlap=DEFAULT_OVERLAP if metadata.overlap is None else metadata.overlap,
        sources=source.sources,
    )


def _length(metadata: ArtifactMetadata, source: SourceModel) -> int | str:
    if metadata.overlap is not None and metadata.differing_segments == "none" and _may_differ(source):
        return "dynamic"
    if metadata.length == "dynamic" or metadata.segment == source.segment:
        return metadata.length
    if not 1 <= metadata.segment <= LARGEST:
        raise CompilerError(
            f"the artifact's metadata gives a segment of {metadata.segment} samples, which no graph takes; "
            "compile it again"
        )
    return metadata.segment


def _may_differ(source: SourceModel) -> bool:
    """True if the model's own program has segments of several lengths."""
    return family_of(source.module).differing_segments(source.module, source.segment or 0) != "none"


def artifact_metadata(path: Path) -> ArtifactMetadata:
    """The metadata of an artifact.

    Raises:
        CompilerError: the file is not an artifact of this compiler.
    """
    return _metadata(path, load_artifact(path))


def _metadata(path: Path, proto: onnx.ModelProto) -> ArtifactMetadata:
    props = {item.key: item.value for item in proto.metadata_props}
    if not any(key.startswith(PREFIX) for key in props):
        raise CompilerError(
            f"{path} was not written by this compiler: it has no metadata of onnx-demucs-compiler, and its "
            f"producer is {producer(proto)}; compile the checkpoint with onnx-demucs-compile first"
        )
    return ArtifactMetadata.from_props(props)
