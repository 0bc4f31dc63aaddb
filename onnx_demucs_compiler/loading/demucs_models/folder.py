"""A folder of one's own checkpoints and bags: demucs' ``--repo``."""

from collections.abc import Mapping
from pathlib import Path

from demucs.api import list_models
from demucs.repo import ModelLoadingError

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.loading.demucs_models.bags import as_one_module, read_bag
from onnx_demucs_compiler.loading.demucs_models.checkpoint import load_checkpoint
from onnx_demucs_compiler.loading.demucs_models.names import unknown_name
from onnx_demucs_compiler.loading.source_model import SourceModel, from_module


def load_from_folder(name: str, folder: Path) -> SourceModel:
    """Load a checkpoint by its signature, or a bag by its file's stem; a signature goes first, as in demucs.

    Args:
        name: ``SIGNATURE`` of a ``SIGNATURE[-CHECKSUM].th``, or ``BAG`` of a ``BAG.yaml``.
        folder: Where these files lie.

    Raises:
        UsageError: If ``folder`` is not a folder or holds no such model.
        CompilerError: If two checkpoints share a signature, a bag is malformed, has a member that the
            folder lacks, or a checkpoint cannot be loaded.
    """
    checkpoints, bags = _models_in(folder)
    if name in checkpoints:
        return load_checkpoint(checkpoints[name], name)
    if name in bags:
        return _load_bag(name, bags[name], checkpoints)
    raise unknown_name(name, [*checkpoints, *bags], where=f"is in {folder}")


def _models_in(folder: Path) -> tuple[Mapping[str, Path], Mapping[str, Path]]:
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; give --repo a folder of .th and .yaml files")
    try:
        models = list_models(folder)
    except ModelLoadingError as error:
        raise CompilerError(f"cannot use the folder {folder}: {error}") from error
    return models["single"], models["bag"]


def _load_bag(name: str, path: Path, checkpoints: Mapping[str, Path]) -> SourceModel:
    bag = read_bag(path)
    for signature in bag.signatures:
        if signature not in checkpoints:
            raise CompilerError(f"the bag {path} needs the checkpoint {signature}, which is not beside it")
    members = {signature: load_checkpoint(checkpoints[signature], name) for signature in bag.signatures}
    module = as_one_module(bag.fill([members[signature].module for signature in bag.signatures]), name)
    provenance = "; ".join(member.provenance for member in members.values())
    return from_module(module, name, provenance=provenance)
