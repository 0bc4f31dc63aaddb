"""Modules in float64, also those that make float32 of their own."""

from __future__ import annotations

import functools
from collections import UserDict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from onnx_demucs_compiler.tracing.copies import light_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WIDER = {torch.float32: torch.float64, torch.complex64: torch.complex128}


def double_copy(module: nn.Module) -> nn.Module:
    """A copy in float64, for one run, without weights in float64.

    It shares the module's parameters and widens each when it is read.
    """
    copied = light_copy(module)
    for child in copied.modules():
        vars(child)["_parameters"] = _WidenedWhenRead(child._parameters)
        vars(child)["_buffers"] = {name: _double(buffer) for name, buffer in child._buffers.items()}
        if isinstance(child, nn.RNNBase):
            child.register_forward_hook(_forget_flat_weights)
    return copied


class _WidenedWhenRead(UserDict[str, "Tensor | None"]):
    """Parameters by name; whoever reads one gets it in float64."""

    def __getitem__(self, name: str) -> Tensor | None:
        return _double(self.data[name])


def _double(value: Tensor | None) -> Tensor | None:
    return value.double() if value is not None and value.is_floating_point() else value


def _forget_flat_weights(module: nn.RNNBase, *_: Any) -> None:
    """Drop the parameters that a recurrent layer keeps from its last call."""
    module._flat_weights = []


class Throughout(TorchDispatchMode):
    """A mode that holds in the branches of ``torch.cond`` too."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def _held(self, func: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of an operator, functions among them under the mode."""
        if not isinstance(func, HigherOrderOperator):
            return args
        under = functools.partial(functools.partial, self._run)
        return tuple(tree_map(lambda value: under(value) if callable(value) else value, args))

    def _run(self, branch: Callable[..., Any], *args: Any) -> Any:
        with self:
            return branch(*args)


class PrecisionWatch(Throughout):
    """Notes whether an operator makes single precision of double; changes nothing.

    Attributes:
        narrowed: whether one did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.narrowed = False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operator as it is."""
        result = func(*self._held(func, args), **(kwargs or {}))
        if not self.narrowed and _has(result, WIDER.keys()) and _has((args, kwargs), WIDER.values()):
            self.narrowed = True
        return result


class AllDouble(Throughout):
    """Widens every float32 of a module to float64, complex64 to complex128.

    Whole numbers, truth values and half precision stay as they are. A tensor in single precision has one
    tensor in double that stands for it throughout, so that writes to it are found again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._wide: dict[int, tuple[Tensor, Tensor]] = {}  # the first of each pair keeps its id taken
        self._defaults: list[torch.dtype] = []

    def __enter__(self) -> AllDouble:
        self._defaults.append(torch.get_default_dtype())
        torch.set_default_dtype(torch.float64)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        torch.set_default_dtype(self._defaults.pop())

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operator in double precision."""
        args, kwargs = tree_map(self._widened, (args, kwargs or {}))
        return tree_map(self._widened, func(*self._held(func, args), **kwargs))

    def _widened(self, value: Any) -> Any:
        if isinstance(value, torch.dtype):
            return WIDER.get(value, value)
        if not isinstance(value, Tensor) or value.dtype not in WIDER:
            return value
        _, wide = self._wide.setdefault(id(value), (value, value.to(WIDER[value.dtype])))
        return wide


def _has(values: Any, precisions: Any) -> bool:
    return any(isinstance(leaf, Tensor) and leaf.dtype in precisions for leaf in tree_leaves(values))
