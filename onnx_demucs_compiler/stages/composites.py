"""Operators that ATen composes of others, taken apart where they are complex.

Rules lower primitive operators on complex values. What ATen itself writes in terms of these (``fft.rfft2``,
``outer``, ``linear``) needs no rule of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch._export.utils import _is_cia_op
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from torch.export import ExportedProgram
    from torch.fx import Node


def in_primitives(program: ExportedProgram, claimed: Collection[Any]) -> ExportedProgram:
    """A functional program, with complex composites taken apart.

    Args:
        program: an exported program; it is not changed. In the result nothing writes in place.
        claimed: operators that rules lower, and that stay as they are.
    """
    apart: set[Any] = set(claimed)
    table = _composites(program, apart)
    while table:
        apart |= set(table)
        program = program.run_decompositions(table)
        table = _composites(program, apart)
    functional: ExportedProgram = program.run_decompositions({})
    return functional


def _composites(program: ExportedProgram, but: Collection[Any]) -> dict[Any, Callable[..., Any]]:
    """A decomposition for each composite that takes or gives complex values."""
    nodes = [node for node in program.graph.nodes if _is_composite(node) and node.target not in but]
    taking = {node.target for node in nodes if _takes_complex(node)}
    making = {node.target for node in nodes if _gives_complex(node) and not _takes_complex(node)}
    return {op: _taken_apart(op, always=op in making) for op in taking | making}


def _is_composite(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and _is_cia_op(node.target)


def _gives_complex(node: Node) -> bool:
    return _is_complex(node.meta.get("val"))


def _takes_complex(node: Node) -> bool:
    return any(map(_gives_complex, node.all_input_nodes))


def _is_complex(values: Any) -> bool:
    return any(isinstance(leaf, torch.Tensor) and leaf.is_complex() for leaf in pytree.tree_leaves(values))


def _taken_apart(op: Any, *, always: bool) -> Callable[..., Any]:
    """A decomposition of an operator, of real values only if ``always``."""

    def decomposition(*args: Any, **kwargs: Any) -> Any:
        if not always and not _is_complex((args, kwargs)):
            return NotImplemented
        try:
            return op._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)
        except Exception:  # noqa: BLE001 - it looks at numbers, which a trace does not have
            return NotImplemented

    return decomposition
