"""The real architectures, compiled for the tests of full-size artifacts."""

from dataclasses import dataclass, field
from pathlib import Path

from onnx_demucs_compiler import CompiledModel, SourceModel, compile, load_model


@dataclass(frozen=True)
class Artifact:
    """What was compiled, what came out, and the file it was saved to."""

    source: SourceModel = field(repr=False)
    compiled: CompiledModel = field(repr=False)
    path: Path


def compiled(name: str, folder: Path) -> Artifact:
    """The artifact of an untrained architecture, in a folder."""
    source = load_model(f"untrained:{name}")
    result = compile(source)
    return Artifact(source, result, result.save(folder / f"{name}.onnx"))
