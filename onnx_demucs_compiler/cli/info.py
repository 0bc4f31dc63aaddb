"""``onnx-demucs info``: a file's metadata, and the contracts that it keeps."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx_demucs_compiler.contracts.artifact import Artifact, Value


def info(
    artifact: Annotated[Path, typer.Argument(metavar="FILE", help="An .onnx or .ort file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print FILE's inputs and outputs, its origin, and the contracts it keeps."""
    from onnx_demucs_compiler.contracts import CONTRACTS, findings_in
    from onnx_demucs_compiler.contracts.reading import read_artifact

    found = read_artifact(artifact)
    contracts = {
        name: not any(finding.breaks for finding in findings)
        for name, findings in findings_in(found, tuple(CONTRACTS)).items()
    }
    facts = _facts(artifact, found) | _origin(artifact, found)
    if as_json:
        typer.echo(json.dumps({"file": str(artifact), **facts, "contracts": contracts}))
        return
    kept = [name for name, keeps in contracts.items() if keeps]
    rows = {name.replace("_", " "): _shown(value) for name, value in facts.items()}
    for name, text in (rows | {"contracts kept": ", ".join(kept) or "none"}).items():
        typer.echo(f"{name + ':':<17}{text}")


def _facts(path: Path, artifact: "Artifact") -> dict[str, Any]:
    """The facts that any file declares."""
    beside = _weight_files(path, artifact)
    return {
        "format": artifact.format,
        "bytes": artifact.bytes,
        **({"weights_in": beside} if beside else {}),
        "producer": artifact.producer,
        "nodes": len(artifact.nodes),
        "opsets": dict(artifact.opsets),
        "inputs": _ports(artifact.inputs),
        "outputs": _ports(artifact.outputs),
    }


def _weight_files(path: Path, artifact: "Artifact") -> dict[str, int | str]:
    """The bytes of each other file that holds weights."""
    files = {name: path.parent / name for weight in artifact.weights.values() if (name := weight.external)}
    return {name: file.stat().st_size if file.is_file() else "missing" for name, file in files.items()}


def _ports(values: "Mapping[str, Value]") -> list[str]:
    return [f"{name} {_shape(value)} {value.type}" for name, value in values.items()]


def _shape(value: "Value") -> str:
    return f"[{', '.join(map(str, value.shape or ()))}]"


def _origin(path: Path, artifact: "Artifact") -> dict[str, Any]:
    """The facts that only a file of this compiler declares."""
    from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
    from onnx_demucs_compiler.cli.change import change_of
    from onnx_demucs_compiler.errors import CompilerError

    try:
        metadata = ArtifactMetadata.from_props(artifact.metadata)
    except CompilerError:
        return {"written_by": "not this compiler: it has no metadata of onnx-demucs-compiler"}
    found = change_of(path, artifact)
    seconds = metadata.segment / metadata.sample_rate if metadata.sample_rate else 0
    return {
        "model": metadata.model,
        "weights": metadata.provenance,
        **({"weights_license": metadata.weights_license} if metadata.weights_license else {}),
        "stems": list(metadata.sources),
        "sample_rate": metadata.sample_rate,
        "channels": metadata.audio_channels,
        "segment": f"{metadata.segment} samples, {seconds:.2f} s",
        **({"segments": f"fade, every {metadata.fade_step} samples"} if metadata.fade_step else {}),
        **({} if metadata.context is None else {"segments": _context(metadata.context)}),
        "takes": "tracks of any length" if metadata.overlap is not None else metadata.length,
        "batch": metadata.batch,
        "interface": metadata.interface,
        "target": metadata.target,
        **({"providers": list(metadata.providers)} if metadata.providers else {}),
        "precision": metadata.precision,
        **({"quality": f"{metadata.quality}, {metadata.promise}"} if metadata.quality else {}),
        "written_by": f"onnx-demucs-compiler {dict(metadata.versions).get('onnx-demucs-compiler', '?')}",
        "changed": found.changed,
        **({"change": found.why} if found.why else {}),
        "rules": list(metadata.rules),
    }


def _context(samples: int) -> str:
    around = f", with {samples} samples of the song on either side" if samples else ""
    return f"as long as they are{around}"


def _shown(value: object) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return str(value)
