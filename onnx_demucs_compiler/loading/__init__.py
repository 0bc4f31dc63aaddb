"""Loading: from a model's name to a module ready to compile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading.families import FAMILIES, family_of, make_lively
from onnx_demucs_compiler.loading.source_model import SourceModel, from_module

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SourceModel", "as_source_model", "family_of", "from_module", "load_model", "make_lively"]


def load_model(
    spec: str, repo: Path | None = None, *, config: Path | None = None, trust_checkpoint: bool = False
) -> SourceModel:
    """Load the model that a user names.

    Args:
        spec: ``untrained:NAME[?seed=N]``, the real architecture of NAME with seeded lively weights; the
            path of a checkpoint; a pretrained name or signature known to demucs; or
            ``hf://[NAMESPACE/]NAME``.
        repo: A folder of demucs' checkpoints and bag ``.yaml`` files; ``spec`` then names one of its models.
        config: The configuration of a checkpoint of Music-Source-Separation-Training, YAML.
        trust_checkpoint: Let demucs' checkpoints run code of their maker's choosing, as demucs does. Without
            it one that names anything but demucs' own classes is refused, and nothing it names is run.

    Returns:
        The model in float32 on the CPU, in eval mode.

    Raises:
        UsageError: If no model has that name, it is the file of a bag, ``repo`` is not a folder, or
            ``config`` does not go with the name.
        CompilerError: If a file is missing, damaged or of another kind, cannot be downloaded, or does not
            fit the others; or if a package that the model needs is not installed.
    """
    family = next(family for family in FAMILIES if family.knows(spec, config))
    assert family.load is not None, "a family that knows names loads them"
    return family.load(spec, repo, config=config, trust_checkpoint=trust_checkpoint)


def as_source_model(
    model: nn.Module | SourceModel | str | Path,
    *,
    example_input: Tensor | tuple[Tensor, ...] | None = None,
    repo: Path | None = None,
    config: Path | None = None,
    trust_checkpoint: bool = False,
) -> SourceModel:
    """The argument of :func:`onnx_demucs_compiler.compile` as a :class:`SourceModel`.

    Raises:
        UsageError: If no model has the name, or it is neither a module nor a name.
        CompilerError: If it cannot be loaded or compiled, or is a bag whose members do not fit together.
    """
    source = _source_model(model, example_input, repo, config, trust_checkpoint)
    family_of(source.module).refuse(source.module, source.name)
    return source


def _source_model(
    model: nn.Module | SourceModel | str | Path,
    example_input: Tensor | tuple[Tensor, ...] | None,
    repo: Path | None,
    config: Path | None,
    trust_checkpoint: bool,
) -> SourceModel:
    if isinstance(model, SourceModel):
        return model
    if isinstance(model, str | Path):
        return load_model(str(model), repo, config=config, trust_checkpoint=trust_checkpoint)
    if not isinstance(model, nn.Module):
        raise UsageError(f"model is a {type(model).__name__}; give a torch module or a name")
    name = type(model).__name__
    return from_module(family_of(model).one_module(model, name), name, example_input)
