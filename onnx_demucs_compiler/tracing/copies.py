"""Copies of modules to run and trace; the user's stays unchanged."""

from __future__ import annotations

import copy
from collections import ChainMap
from typing import TYPE_CHECKING, Any

import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.jit import ScriptModule

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.tracing.source import error_in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.loading import SourceModel

    Memo = ChainMap[Any, Any]


def private_copy(source: SourceModel, *, owned: bool = False) -> SourceModel:
    """A copy in float32 on the CPU, in eval mode, to modify.

    Args:
        source: the model.
        owned: nobody else has its module, which then needs no copy.

    Raises:
        CompilerError: it is or holds TorchScript, holds tensors without numbers, or has no copy.
    """
    for child in source.module.modules():
        if isinstance(child, ScriptModule):
            raise CompilerError(
                f"{source.name} is TorchScript ({child.original_name}), which has no Python left to trace; "
                "give the nn.Module that it was made from"
            )
    if any(isinstance(leaf, FakeTensor) for leaf in held_by(source.module)):
        raise CompilerError(
            f"{source.name} keeps a tensor without numbers, which an earlier torch.export left in it; "
            "build the module again"
        )
    try:
        module = (source.module if owned else deep_copy(source.module)).float().cpu().eval()
        return source.with_module(module.requires_grad_(False))
    except Exception as error:
        raise CompilerError(f"{source.name} cannot be copied ({error_in_one_line(error)})") from error


def deep_copy(module: nn.Module) -> nn.Module:
    """A copy of a module and of all that it holds.

    A tensor that was computed from others, which PyTorch does not copy (the weight that
    ``torch.nn.utils.weight_norm`` leaves on a layer), is copied as a number. What cannot be copied at all, a
    lock or a file, the copy shares with the original.
    """
    return _copied(module, {})


def light_copy(module: nn.Module) -> nn.Module:
    """A copy with shared parameters, for one run or one trace.

    Everything else in it may be written to.
    """
    return _copied(module, {id(weight): weight for weight in module.parameters()})


def _copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    tensors = [leaf for leaf in held_by(module) if isinstance(leaf, Tensor)]
    memo |= {id(tensor): tensor.detach().clone() for tensor in tensors if not tensor.is_leaf}
    try:
        return copy.deepcopy(module, dict(memo))
    except Exception:  # noqa: BLE001 - whatever a part raises that has no copy
        return _copied_by_parts(module, memo)


def held_by(module: nn.Module) -> Iterator[Any]:
    """All that a module and its submodules hold, in containers too."""
    for child in module.modules():
        yield from pytree.tree_leaves(vars(child))


def _copied_by_parts(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """A copy attribute by attribute, with references to modules redirected."""
    children = list(module.modules())
    copies = [type(child).__new__(type(child)) for child in children]
    memo |= {id(child): copied for child, copied in zip(children, copies, strict=True)}
    attempts = []  # kept: deepcopy enters each under its id, which no later object may have
    for child, copied in zip(children, copies, strict=True):
        for name, value in vars(child).items():
            attempts.append(attempt := ChainMap({}, memo))
            vars(copied)[name] = _copied_or_shared(value, attempt)
            memo |= attempt.maps[0]
    return copies[0]


def _copied_or_shared(value: Any, attempt: Memo) -> Any:
    try:
        return copy.deepcopy(value, attempt)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - as above
        attempt.maps[0].clear()
        return value
