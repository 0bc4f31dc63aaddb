"""Caches that a module fills when it is first called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn

from onnx_demucs_compiler.errors import CompilerError, first_line
from onnx_demucs_compiler.tracing.copies import held_by, light_copy
from onnx_demucs_compiler.tracing.quiet import quiet
from onnx_demucs_compiler.tracing.randomness import least_random
from onnx_demucs_compiler.tracing.source import error_in_one_line

if TYPE_CHECKING:
    from onnx_demucs_compiler.loading import SourceModel


class FirstCall(NamedTuple):
    """A call of the module on the example, before anything is traced.

    Attributes:
        traced: the model to trace.
        inputs: the example.
        outputs: all tensors that it returned, float32.
    """

    traced: SourceModel
    inputs: tuple[Tensor, ...]
    outputs: list[Tensor]


def first_call(source: SourceModel, example: tuple[Tensor, ...]) -> FirstCall:
    """Call the model, and find what to trace.

    That is the model with its first call's caches but no state. A trace would fill a cache with tensors that
    hold no numbers, and layers that share one would trip over them. A module has a cache if its second call
    gives what the first gave. One that gives something else has a state, and is traced as it is, as of its
    first call. What calls keep outside the module is filled too. Tensors that calls write to are made
    buffers, as torch.export wants them.

    Args:
        source: the model; its module is not changed.
        example: what it takes.

    Raises:
        CompilerError: forward does not take the example, or takes or returns what a graph does not.
    """
    if any(value.is_complex() for value in example):
        raise CompilerError(
            f"{source.name} takes a complex tensor, which ONNX Runtime does not; let it take the real view, "
            "and call torch.view_as_complex in forward"
        )
    module = light_copy(source.module)
    before = _state(module)
    first = _outputs(module, source.name, example)
    if _alike(before, _state(module)):
        return FirstCall(source, example, first)
    between = _writes(module)
    second = _outputs(module, source.name, example)
    written = [name for name, writes in _writes(module).items() if between.get(name, writes) != writes]
    has_cache = len(first) == len(second) and all(map(torch.equal, first, second))
    traced = module if has_cache else light_copy(source.module)
    _as_buffers(traced, written)
    return FirstCall(source.with_module(traced), example, first)


def _outputs(module: nn.Module, name: str, example: tuple[Tensor, ...]) -> list[Tensor]:
    try:
        with torch.no_grad(), least_random(), quiet():
            outputs = module(*(value.clone() for value in example))
    except Exception as error:
        shapes = ", ".join(f"{item.dtype} {list(item.shape)}".removeprefix("torch.") for item in example)
        raise CompilerError(
            f"{name}: forward fails on {shapes} ({error_in_one_line(error)}); "
            "give what it takes as example_input"
        ) from error
    leaves = [leaf for leaf in pytree.tree_leaves(outputs) if leaf is not None]
    for leaf in leaves or [outputs]:
        _refuse_output(leaf, name)
    return [leaf.clone() for leaf in leaves]  # the next call may write to them


def _refuse_output(leaf: Any, name: str) -> None:
    """Refuse types of output that no graph can have.

    Raises:
        CompilerError: it is no tensor, or one of a kind that NumPy and with it ONNX Runtime does not have.
    """
    try:
        leaf.detach().numpy()
    except AttributeError as error:
        raise CompilerError(
            f"{name} returns {type(leaf).__name__} and a graph returns tensors only; leave the rest out"
        ) from error
    except (TypeError, RuntimeError) as error:
        raise CompilerError(
            f"{name} returns a tensor that NumPy does not have ({first_line(error)}); return float32"
        ) from error


def _writes(module: nn.Module) -> dict[tuple[str, str], int]:
    """The writes to each tensor that is an attribute and no buffer."""
    return {
        (prefix, name): value._version
        for prefix, child in module.named_modules()
        for name, value in vars(child).items()
        if isinstance(value, Tensor) and not value.is_inference()
    }


def _as_buffers(module: nn.Module, names: list[tuple[str, str]]) -> None:
    for prefix, name in names:
        child = module.get_submodule(prefix)
        if (value := vars(child).pop(name, None)) is not None:
            child.register_buffer(name, value, persistent=False)


def _state(module: nn.Module) -> list[tuple[Any, int]]:
    """All that it holds; tensors with the number of writes to them."""
    return [
        (leaf, leaf._version if isinstance(leaf, Tensor) and not leaf.is_inference() else 0)
        for leaf in held_by(module)
    ]


def _alike(before: list[tuple[Any, int]], after: list[tuple[Any, int]]) -> bool:
    return len(before) == len(after) and all(
        old is new and writes == more for (old, writes), (new, more) in zip(before, after, strict=True)
    )
