"""Traces in which the example decides what a plain one leaves open.

A plain trace has tensors without numbers. ``if (window < eps).any()`` and ``torch.arange(n).tolist()`` stop
it, although no input reaches them. ``torch.export.draft_export`` carries the numbers of the example along.
Of an input it may decide checks alone, which the example passes: ``assert (padded == x).all()``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from torch import nn

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.tracing.source import called_at, only_checks, source_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor
    from torch.export import ExportedProgram
    from torch.fx import Node

DECIDED = "onnx_demucs.decided"
"""Under which a graph keeps the lines that were decided."""

ASSERTION = torch.ops.aten._assert_scalar.default


def export_by_example(
    module: nn.Module, inputs: tuple[Tensor, ...], shapes: tuple[dict[int, Any], ...] | None
) -> ExportedProgram:
    """Trace a module with the numbers of its example.

    Args:
        module: the module.
        inputs: the example.
        shapes: the sizes that stay open.

    Returns:
        The program; :func:`decided_lines` tells what the example decided in it.

    Raises:
        RuntimeError: the trace went another way than the module.
        CompilerError: an input decides something, so that another would take another way, or a size that is
            to stay open cannot.
    """
    with _repaired():
        program = torch.export.draft_export(module, inputs, dynamic_shapes=shapes, strict=False)
    _refuse_closed_sizes(program)
    decisions = program.graph.find_nodes(op="call_function", target=ASSERTION)
    _refuse_of_inputs(program, decisions)
    program.module(check_guards=False)(*inputs)  # raises where an assertion does not hold
    program.graph_module.meta[DECIDED] = tuple(dict.fromkeys(filter(None, map(source_line, decisions))))
    _erase(program, decisions)
    return program


@contextmanager
def _repaired() -> Iterator[None]:
    """While it lasts, draft_export of torch 2.13 knows the numbers of parameters.

    It copies those of plain tensors alone, and reads memory that nothing was written to for any other. It
    also takes for granted that a constant has a user. What is PyTorch's own affair is imported here, so that
    a release that moves it costs this way of tracing and no other.
    """
    from torch._export.passes import lift_constants_pass
    from torch._subclasses import meta_utils

    copy, clone, unused = meta_utils._safe_copy, meta_utils._safe_clone, lift_constants_pass._unused_constant
    with (
        mock.patch.object(meta_utils, "_safe_copy", lambda target, source: copy(target, _plain(source))),
        mock.patch.object(meta_utils, "_safe_clone", lambda source: clone(_plain(source))),
        mock.patch.object(
            lift_constants_pass, "_unused_constant", lambda node: unused(node) if node.users else None
        ),
    ):
        yield


def _plain(tensor: Any) -> Any:
    return tensor.data if isinstance(tensor, nn.Parameter) else tensor


def decided_lines(program: ExportedProgram) -> tuple[str, ...]:
    """The model's lines that the example decided.

    They are about constants and weights, or check an input.
    """
    lines: tuple[str, ...] = program.graph_module.meta.get(DECIDED, ())
    return lines


def _refuse_closed_sizes(program: Any) -> None:
    """Refuse open sizes of which draft_export made numbers."""
    from torch.export._draft_export import FailureType

    if any(failure.failure_type is FailureType.GUARD_ADDED for failure in program._report.failures):
        raise CompilerError("the model's sizes cannot stay open; give them as numbers")


def _refuse_of_inputs(program: ExportedProgram, decisions: Iterable[Node]) -> None:
    given = program.graph_signature.user_inputs
    placeholders = program.graph.find_nodes(op="placeholder")
    reached = _reached(node for node in placeholders if node.name in given)
    for node in decisions:
        if node in reached and not only_checks(node):
            raise CompilerError(
                "the numbers of an input decide what runs, and a graph runs the same for all inputs; "
                f"{called_at(node)}"
            )


def _reached(sources: Iterable[Node]) -> set[Node]:
    reached: set[Node] = set()
    waiting = list(sources)
    while waiting:
        node = waiting.pop()
        if node not in reached and not _is_size(node):
            reached.add(node)
            waiting += node.users
    return reached


def _is_size(node: Node) -> bool:
    """True for a size, which needs no numbers of an input."""
    return node.target is torch.ops.aten.sym_size.int


def _erase(program: ExportedProgram, decisions: Iterable[Node]) -> None:
    """Erase assertions and what only they need."""
    waiting = list(decisions)
    while waiting:
        node = waiting.pop()
        if node.op == "call_function" and not node.users and not node._erased:
            waiting += node.all_input_nodes
            program.graph.erase_node(node)
    program.graph_module.recompile()
