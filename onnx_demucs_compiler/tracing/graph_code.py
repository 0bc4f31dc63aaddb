"""Python code of torch.fx's graphs, written when someone reads it."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from torch.fx import GraphModule
from torch.fx.graph import _PyTreeCodeGen

if TYPE_CHECKING:
    from collections.abc import Iterator

_write_code = GraphModule.recompile


@contextmanager
def code_when_read() -> Iterator[None]:
    """Let graphs write their code when it is first run or printed.

    torch.export writes and compiles it after every change, ten times as often as it runs it.
    """
    with patch.object(GraphModule, "recompile", _recompile_later):
        yield


def _recompile_later(module: GraphModule) -> None:
    """Forget the code, in the class that each graph module has."""
    codegen = module.graph._codegen
    if isinstance(codegen, _PyTreeCodeGen):
        module._in_spec, module._out_spec = codegen.pytree_info.in_spec, codegen.pytree_info.out_spec
    vars(module).pop("_code", None)
    for name in ("forward", "_code"):
        setattr(type(module), name, _Unwritten(module, name))


class _Unwritten:
    """An attribute that is there once the code is written."""

    def __init__(self, module: GraphModule, name: str) -> None:
        self._module, self._name = weakref.ref(module), name

    def __get__(self, instance: GraphModule | None, owner: type[GraphModule]) -> Any:
        module = self._module()
        assert module is not None, "the class of a graph module outlives it"
        _write_code(module)
        return getattr(owner if instance is None else instance, self._name)
