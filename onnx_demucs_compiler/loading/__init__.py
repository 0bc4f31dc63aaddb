"""Loading: from a model's name to a module ready to compile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading.families.demucs import as_one_module, load_model
from onnx_demucs_compiler.loading.families.demucs.unsupported import refuse_unsupported
from onnx_demucs_compiler.loading.lively import make_lively
from onnx_demucs_compiler.loading.source_model import SourceModel, from_module

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

__all__ = ["SourceModel", "as_source_model", "from_module", "load_model", "make_lively"]


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
    refuse_unsupported(source.module, source.name)
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
        return load_model(model, repo, trust_checkpoint=trust_checkpoint)
    if not isinstance(model, nn.Module):
        raise UsageError(f"model is a {type(model).__name__}; give a torch module or a name")
    name = type(model).__name__
    return from_module(as_one_module(model, name), name, example_input)
