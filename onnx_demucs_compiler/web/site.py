"""The files of a site: page, model and description."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
from onnx_demucs_compiler.artifact.writing import check_folder, check_replaceable
from onnx_demucs_compiler.contracts.reading import read_artifact
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.graph import check_separator

if TYPE_CHECKING:
    from onnx_demucs_compiler.contracts.artifact import Artifact

PAGE = Path(__file__).parent / "page"
"""What ``make web`` builds; a wheel has it, a clone gets it."""

DESCRIPTION = "model.json"
"""What the page reads first. A folder that has it is a site, and may be replaced by one."""

GRAPH = "model.onnx"


def check_site(folder: Path, *, force: bool) -> None:
    """Fail early if a site cannot be written.

    Raises:
        UsageError: the folder exists, and is not to be replaced, or is no site.
        CompilerError: the folder that it goes into is missing or read-only, or the page is not built.
    """
    if not (PAGE / "index.html").is_file():
        raise CompilerError(
            "this installation lacks the page; in a clone, build it with make web (needs Node 20)"
        )
    check_replaceable(folder, force=force)
    check_folder(folder, marked_by=DESCRIPTION)


def site_files(model: Path) -> dict[str, bytes]:
    """The files of a model's site, by their paths in it.

    Raises:
        UsageError: the model is not for the browser.
        CompilerError: it is no model, or its weights are missing.
        OSError: a file cannot be read.
    """
    artifact = read_artifact(model)
    metadata = _checked(model, artifact)
    files = {GRAPH: model.read_bytes()}
    beside = sorted({weight.external for weight in artifact.weights.values() if weight.external})
    for name in beside:
        files[name] = _weights(model, name)
    page = {
        file.relative_to(PAGE).as_posix(): file.read_bytes() for file in PAGE.rglob("*") if file.is_file()
    }
    described = json.dumps(description(metadata, files), indent=1, ensure_ascii=False) + "\n"
    return dict(sorted(page.items())) | files | {DESCRIPTION: described.encode()}


def description(metadata: ArtifactMetadata, files: dict[str, bytes]) -> dict[str, Any]:
    """The model's facts, and its files with sizes and checksums."""
    described = [
        {"file": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in files.items()
    ]
    return {
        "model": metadata.model,
        "stems": list(metadata.sources),
        "sample_rate": metadata.sample_rate,
        "channels": metadata.audio_channels,
        "segment": metadata.segment,
        "precision": metadata.precision,
        "providers": list(metadata.providers),
        "graph": described[0],
        "data": described[1] if len(described) > 1 else None,
    }


def _checked(model: Path, artifact: Artifact) -> ArtifactMetadata:
    """The metadata of a separator for the browser."""
    if artifact.format != "onnx":
        raise UsageError(
            f"{model} is in ORT format, and the page takes .onnx; give the file it was converted from"
        )
    metadata = ArtifactMetadata.from_props(artifact.metadata)
    again = f"compile it with onnx-demucs compile {metadata.model} --target web"
    if metadata.target != "web":
        raise UsageError(f"{model} is for the target {metadata.target}, and the page needs web; {again}")
    if metadata.interface != "waveform":
        raise UsageError(
            f"{model} has the interface {metadata.interface}, and the page needs waveform; {again}"
        )
    if metadata.batch not in ("1", "dynamic") or metadata.stopped_after or metadata.overlap is not None:
        raise UsageError(f"{model} does not take one segment and give its stems; {again}")
    check_separator(metadata)
    if len({weight.external for weight in artifact.weights.values() if weight.external}) > 1:
        raise UsageError(f"{model} keeps its weights in several files, and the page loads one; {again}")
    return metadata


def _weights(model: Path, name: str) -> bytes:
    """The weights beside a graph that refers to them."""
    path = model.with_name(name) if Path(name).name == name and name not in (".", "..") else None
    if path is None or name in (GRAPH, DESCRIPTION) or (PAGE / name).exists():
        raise CompilerError(
            f"{model} refers to weights in {name!r}, which is no name for them; compile it again"
        )
    if not path.is_file():
        raise CompilerError(f"{model}: its weights are missing; put {name} beside it, as it was compiled")
    return path.read_bytes()
