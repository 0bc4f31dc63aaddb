"""Demucs' models: untrained, from a checkpoint, from a folder of one's own, or pretrained."""

import os
from pathlib import Path

from onnx_demucs_compiler.loading.demucs_models.bags import as_one_module
from onnx_demucs_compiler.loading.demucs_models.checkpoint import SUFFIXES, load_checkpoint
from onnx_demucs_compiler.loading.demucs_models.folder import load_from_folder
from onnx_demucs_compiler.loading.demucs_models.pretrained import HUB_PREFIX, load_pretrained
from onnx_demucs_compiler.loading.demucs_models.untrained import UNTRAINED_PREFIX, load_untrained
from onnx_demucs_compiler.loading.source_model import SourceModel

__all__ = ["as_one_module", "load_model"]


def load_model(spec: str, repo: Path | None = None, *, trust_checkpoint: bool = False) -> SourceModel:
    """Load the model that a user names.

    Args:
        spec: ``untrained:NAME[?seed=N]``, the real architecture of NAME with seeded lively weights; the
            path of a checkpoint; a pretrained name or signature known to demucs; or
            ``hf://[NAMESPACE/]NAME``.
        repo: A folder of checkpoints and bag ``.yaml`` files; ``spec`` then names one of its models.
        trust_checkpoint: Let checkpoints run code of their maker's choosing, as demucs does. Without it one
            that names anything but demucs' own classes is refused, and nothing it names is run.

    Returns:
        The model in float32 on the CPU, in eval mode.

    Raises:
        UsageError: If no model has that name, or ``repo`` is not a folder.
        CompilerError: If the checkpoint is missing, damaged, of another kind or asks for other code than
            demucs' classes, cannot be downloaded, or its members do not fit together.
    """
    source = _resolve(spec, repo, trust_checkpoint)
    source.module.eval()
    return source


def _resolve(spec: str, repo: Path | None, trust: bool) -> SourceModel:
    if repo is not None:
        return load_from_folder(spec, repo, trust=trust)
    if spec.startswith(UNTRAINED_PREFIX):
        return load_untrained(spec)
    if _is_path(spec):
        return load_checkpoint(Path(spec), Path(spec).stem, trust=trust)
    return load_pretrained(spec, trust=trust)


def _is_path(spec: str) -> bool:
    if spec.startswith(HUB_PREFIX):
        return False
    return spec.endswith(SUFFIXES) or "/" in spec or os.sep in spec or Path(spec).is_file()
