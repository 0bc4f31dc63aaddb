"""A folder of one's own checkpoints and bags: demucs' ``--repo``."""

from collections.abc import Mapping
from pathlib import Path

from demucs.api import list_models
from demucs.repo import ModelLoadingError

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.loading.families.demucs.bags import load_bag, read_bag
from onnx_demucs_compiler.loading.families.demucs.checkpoint import SAFETENSORS, load_checkpoint
from onnx_demucs_compiler.loading.families.demucs.names import unknown_name
from onnx_demucs_compiler.loading.source_model import SourceModel


def load_from_folder(name: str, folder: Path, *, trust: bool = False) -> SourceModel:
    """Load a checkpoint by its signature, or a bag by name.

    A signature goes first, as in demucs.

    Args:
        name: ``SIGNATURE`` of a ``SIGNATURE[-CHECKSUM].th`` or of a ``SIGNATURE.safetensors``, as demucs
            publishes them on the Hugging Face hub, or ``BAG`` of a ``BAG.yaml``.
        folder: Where these files lie.
        trust: Let checkpoints run code of their maker's choosing.

    Raises:
        UsageError: If ``folder`` is not a folder or holds no such model.
        CompilerError: If two checkpoints share a signature, a bag is malformed, has a member that the
            folder lacks, or a checkpoint cannot be loaded.
    """
    checkpoints, bags = _models_in(folder)
    if name in checkpoints:
        return load_checkpoint(checkpoints[name], name, trust=trust)
    if name in bags:
        return load_bag(name, read_bag(bags[name]), checkpoints, trust=trust)
    raise unknown_name(name, [*checkpoints, *bags], where=f"is in {folder}")


def _models_in(folder: Path) -> tuple[Mapping[str, Path], Mapping[str, Path]]:
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; give --repo a folder of .th and .yaml files")
    try:
        models = list_models(folder)
    except ModelLoadingError as error:
        raise CompilerError(f"cannot use the folder {folder}: {error}") from error
    published = {path.stem: path for path in sorted(folder.glob(f"*{SAFETENSORS}"))}
    return published | models["single"], models["bag"]
