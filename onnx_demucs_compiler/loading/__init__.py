"""Loading: from a model's name to a module ready to compile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading.families import FAMILIES, family_of, make_lively
from onnx_demucs_compiler.loading.families.demucs import load_model
from onnx_demucs_compiler.loading.source_model import SourceModel, from_module

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

__all__ = ["SourceModel", "as_source_model", "family_of", "from_module", "load_model", "make_lively"]


def as_source_model(
    model: nn.Module | SourceModel | str,
    *,
    example_input: Tensor | tuple[Tensor, ...] | None = None,
    repo: Path | None = None,
    trust_checkpoint: bool = False,
) -> SourceModel:
    """The argument of :func:`onnx_demucs_compiler.compile` as a :class:`SourceModel`.

    Raises:
        UsageError: If no model has the name, or it is neither a module nor a name.
        CompilerError: If it cannot be loaded or compiled, or is a bag whose members do not fit together.
    """
    source = _source_model(model, example_input, repo, trust_checkpoint)
    family_of(source.module).refuse(source.module, source.name)
    return source


def _source_model(
    model: nn.Module | SourceModel | str,
    example_input: Tensor | tuple[Tensor, ...] | None,
    repo: Path | None,
    trust_checkpoint: bool,
) -> SourceModel:
    if isinstance(model, SourceModel):
        return model
    if isinstance(model, str):
        load = next(family.load for family in FAMILIES if family.load)
        return load(model, repo, trust_checkpoint=trust_checkpoint)
    if not isinstance(model, nn.Module):
        raise UsageError(f"model is a {type(model).__name__}; give a torch module or a name")
    name = type(model).__name__
    return from_module(family_of(model).one_module(model, name), name, example_input)
