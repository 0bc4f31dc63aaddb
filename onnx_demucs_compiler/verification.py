"""Measuring an artefact on disk against the model it was compiled from."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.fidelity import Gate, measure, probe_signals
from onnx_demucs_compiler.loading import as_source_model
from onnx_demucs_compiler.loading.demucs_models.length import at_length
from onnx_demucs_compiler.metadata import ArtifactMetadata
from onnx_demucs_compiler.options import LARGEST, Options
from onnx_demucs_compiler.runtime.segments import DEFAULT_OVERLAP
from onnx_demucs_compiler.stages.storage import ROUNDED
from onnx_demucs_compiler.subject import Subject

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import torch

    from onnx_demucs_compiler.fidelity import Measurement
    from onnx_demucs_compiler.loading import SourceModel


def verify(
    path: str | os.PathLike[str],
    model: torch.nn.Module | SourceModel | str | None = None,
    *,
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    repo: Path | None = None,
    trust_checkpoint: bool = False,
    min_snr_db: float | None = None,
    extra_signals: Mapping[str, torch.Tensor] | None = None,
) -> tuple[Measurement, ...]:
    """Check an artefact against its model in float64. The module is not changed.

    Args:
        path: the ``.onnx`` file.
        model: as for :func:`onnx_demucs_compiler.compile`; the name in the artefact's metadata when None.
        example_input: what the model takes, where it does not say.
        repo: a folder of checkpoints in which a name is looked up.
        trust_checkpoint: let checkpoints run code of their maker's choosing, as demucs does.
        min_snr_db: the gate in dB; the artefact's precision decides when None.
        extra_signals: audio to measure on besides noise, a synthetic song and silence.

    Returns:
        One measurement for each signal and stem.

    Raises:
        CompilerError: the file is not an artefact of this compiler, or was made from other weights.
        FidelityError: an output lies below the gate.
    """
    proto = load_artifact(Path(path))
    metadata = _metadata(proto)
    gate = Gate.of(metadata.precision, min_snr_db, rounded=ROUNDED in dict(metadata.stored))
    named = metadata.model if model is None else model
    source = as_source_model(named, example_input=example_input, repo=repo, trust_checkpoint=trust_checkpoint)
    source = source.with_module(copy.deepcopy(source.module).float().cpu().eval())
    source = at_length(source, _length(metadata, source))
    if source.weights_digest() != metadata.weights:
        raise CompilerError(
            f"{path} was compiled from other weights ({metadata.model}) than those of {source.name}; "
            "name the model it was compiled from"
        )
    subject = Subject(source, options_of(metadata, source))
    signals = probe_signals(subject.probe(), source.sample_rate)
    signals |= {name: subject.fit(signal) for name, signal in (extra_signals or {}).items()}
    measurements = measure(proto, subject, signals)
    gate.check(measurements)
    return measurements


def options_of(metadata: ArtifactMetadata, source: SourceModel) -> Options:
    """The options with which an artefact was compiled from a model."""
    stems, two_stems = None, None
    if metadata.other_method:
        two_stems = metadata.sources[0]
    elif metadata.sources != source.sources:
        stems = metadata.sources
    return Options(
        target=metadata.target,
        interface=metadata.interface,
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
    if metadata.length == "dynamic" or metadata.segment == source.segment:
        return metadata.length
    if not 1 <= metadata.segment <= LARGEST:
        raise CompilerError(
            f"the artefact's metadata gives a segment of {metadata.segment} samples, which no graph takes; "
            "compile it again"
        )
    return metadata.segment


def artifact_metadata(path: Path) -> ArtifactMetadata:
    """What an artefact says of itself.

    Raises:
        CompilerError: the file is not an artefact of this compiler.
    """
    return _metadata(load_artifact(path))


def _metadata(proto: onnx.ModelProto) -> ArtifactMetadata:
    return ArtifactMetadata.from_props({item.key: item.value for item in proto.metadata_props})


def load_artifact(path: Path) -> onnx.ModelProto:
    """Read an ``.onnx`` file.

    Raises:
        CompilerError: there is no such file, or it is not ONNX.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        return onnx.load(path)
    except OSError:
        raise
    except Exception as error:  # protobuf's errors share no narrower base
        raise CompilerError(f"{path} is not an ONNX model") from error
