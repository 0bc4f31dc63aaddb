"""Measuring a file of another format than ONNX again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
from onnx_demucs_compiler.checking.fidelity import References
from onnx_demucs_compiler.checking.verification import gate_of, seen_again
from onnx_demucs_compiler.emit import EMITTERS, check_installed
from onnx_demucs_compiler.emit.emitter import Names
from onnx_demucs_compiler.emit.pipeline import opened
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading import as_source_model
from onnx_demucs_compiler.targets import emitted_as
from onnx_demucs_compiler.tracing.quiet import quiet, quiet_libraries

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import torch

    from onnx_demucs_compiler.checking.fidelity import Measurement
    from onnx_demucs_compiler.emit.emitter import Emitter
    from onnx_demucs_compiler.loading import SourceModel


def emitted_metadata(path: Path) -> ArtifactMetadata:
    """The metadata of an emitted file.

    Raises:
        CompilerError: it cannot be read, the tools to do so are not installed, or ``compile --emit`` did not
            write it.
    """
    return _metadata(path, _emitter_of(path))


def _emitter_of(path: Path) -> Emitter:
    target = emitted_as(path)
    if target is None:
        raise CompilerError(f"{path} has no suffix of a format beside ONNX: {', '.join(EMITTERS)}")
    return EMITTERS[target.name]


def _metadata(path: Path, emitter: Emitter) -> ArtifactMetadata:
    if emitter.open is None:
        raise CompilerError(f"a .{emitter.target} cannot run on this system, and is not measured")
    check_installed(emitter)
    if not path.is_file():
        raise CompilerError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        with quiet(), quiet_libraries():
            props = emitter.read(path.read_bytes())
    except OSError:
        raise
    except Exception as error:  # the tools' errors share no narrower base
        raise CompilerError(
            f"{path} has no metadata of onnx-demucs-compiler, and was not written by compile "
            f"--emit {emitter.target}"
        ) from error
    return ArtifactMetadata.from_props(props)


def verify_emitted(
    path: str | os.PathLike[str],
    model: torch.nn.Module | SourceModel | str | Path | None = None,
    *,
    example_input: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    min_snr_db: float | None = None,
    extra_signals: Mapping[str, torch.Tensor] | None = None,
) -> tuple[Measurement, ...]:
    """Check an emitted file against its model in float64.

    Args:
        path: the file, whose suffix is its format.
        model: as for :func:`onnx_demucs_compiler.compile`; the name in the file's metadata when None.
            The module is not changed.
        example_input: what the model takes, where it does not say.
        min_snr_db: the gate in dB; that of ``fp32`` when None.
        extra_signals: audio to measure on besides noise, a synthetic song and silence.

    Returns:
        One measurement for each signal and stem.

    Raises:
        CompilerError: the file was not emitted by this compiler, or from other weights; or what runs it is
            not installed, or fails.
        FidelityError: an output lies below the gate.
    """
    target = Path(path)
    emitter = _emitter_of(target)
    metadata = _metadata(target, emitter)
    gate = gate_of(metadata, min_snr_db)
    source = as_source_model(metadata.model if model is None else model, example_input=example_input)
    view, signals = seen_again(path, metadata, source, extra_signals or {})
    references = References(view, signals)
    run = opened(emitter, target.read_bytes(), Names.of_interface(metadata.interface))
    measurements = references.compare(run)
    gate.check(measurements)
    return measurements
