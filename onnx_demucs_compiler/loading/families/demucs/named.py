"""From a name to the loader that knows it. Imports demucs."""

import os
from pathlib import Path

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading.families.demucs.bags import read_bag
from onnx_demucs_compiler.loading.families.demucs.checkpoint import SUFFIXES, load_checkpoint
from onnx_demucs_compiler.loading.families.demucs.folder import load_from_folder
from onnx_demucs_compiler.loading.families.demucs.pretrained import HUB_PREFIX, load_pretrained
from onnx_demucs_compiler.loading.families.demucs.untrained import load_untrained
from onnx_demucs_compiler.loading.families.family import UNTRAINED_PREFIX
from onnx_demucs_compiler.loading.source_model import SourceModel


def load_named(spec: str, repo: Path | None, *, trust: bool) -> SourceModel:
    """Load what :func:`onnx_demucs_compiler.loading.load_model` is given."""
    if repo is not None:
        return load_from_folder(spec, repo, trust=trust)
    if spec.startswith(UNTRAINED_PREFIX):
        return load_untrained(spec)
    if spec.endswith(".yaml") and Path(spec).is_file():
        bag = read_bag(Path(spec)).path
        raise UsageError(f"{spec} is a bag, which is given by its name; give {bag.stem} --repo {bag.parent}")
    if _is_path(spec):
        return load_checkpoint(Path(spec), Path(spec).stem, trust=trust)
    return load_pretrained(spec, trust=trust)


def _is_path(spec: str) -> bool:
    if spec.startswith(HUB_PREFIX):
        return False
    return spec.endswith(SUFFIXES) or "/" in spec or os.sep in spec or Path(spec).is_file()
