"""What the tests of full-size artefacts are given."""

from dataclasses import dataclass, field
from pathlib import Path

from onnx_demucs_compiler import CompiledModel, SourceModel


@dataclass(frozen=True)
class Artifact:
    """What was compiled, what came out, and the file it was saved to."""

    source: SourceModel = field(repr=False)
    compiled: CompiledModel = field(repr=False)
    path: Path
