"""A node's origin in the model's own source."""

from __future__ import annotations

import ast
import linecache
import sysconfig
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import torch

from onnx_demucs_compiler.errors import CompilerError, InternalError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir
    from torch.fx import Node


_TORCH = f"{Path(torch.__file__).parent.as_posix()}/"
_COMPILER = Path(__file__).parents[1]
_PYTHON = sysconfig.get_path("stdlib")


STACK_TRACE, SCOPES = "pkg.torch.onnx.stack_trace", "pkg.torch.onnx.name_scopes"
"""Under which torch.onnx keeps where a node comes from."""


class Origin(NamedTuple):
    """The origin of a node.

    Attributes:
        node: its name.
        source: the line of the model's source, ``""`` where unknown.
        module: the path of the ``nn.Module`` that calls it, such as ``encoder.1``; ``""`` where unknown.
    """

    node: str
    source: str = ""
    module: str = ""


def origin_in_program(node: Node) -> Origin:
    """The origin of an ATen node."""
    scopes = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    return Origin(node.name, source_line(node), scopes[-1] if scopes else "")


def origin_in_graph(node: ir.Node) -> Origin:
    """The origin of an ONNX node during a compile."""
    scopes = ast.literal_eval(node.metadata_props.get(SCOPES, "[]"))[:-1]
    source = _innermost_line(node.metadata_props.get(STACK_TRACE, ""))
    return Origin(node.name or node.op_type, source, scopes[-1] if scopes else "")


def source_line(node: Node) -> str:
    """The innermost line of the model's source behind a node.

    It reads ``file.py:12: code``.
    """
    return _innermost_line(node.stack_trace or "")


def _innermost_line(stack_trace: str) -> str:
    place = _innermost_place(stack_trace)
    return f"{place.path.rpartition('/')[2]}:{place.line}: {place.code}" if place else ""


class _Place(NamedTuple):
    path: str
    line: int
    code: str


def _innermost_place(stack_trace: str) -> _Place | None:
    frames = stack_trace.replace("\\", "/").split('File "')[1:]
    own = [frame for frame in frames if not frame.startswith(_TORCH)]
    if not own:
        return None
    where, _, code = own[-1].partition("\n")
    path, _, rest = where.partition('", line ')
    return _Place(path, int(rest.partition(",")[0]), code.strip())


def only_checks(node: Node) -> bool:
    """True where the model's line is a condition that can only raise.

    It is that of an ``assert``, or of an ``if`` that holds nothing but a ``raise``.
    """
    place = _innermost_place(node.stack_trace or "")
    if place is None:
        return False
    try:
        tree = ast.parse("".join(linecache.getlines(place.path)))
    except (SyntaxError, ValueError):
        return False
    return any(
        statement.test.lineno <= place.line <= (statement.test.end_lineno or 0)
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Assert) or _raises(statement)
    )


def _raises(statement: ast.AST) -> TypeGuard[ast.If]:
    return (
        isinstance(statement, ast.If)
        and not statement.orelse
        and all(isinstance(each, ast.Raise) for each in statement.body)
    )


def error_in_one_line(error: BaseException) -> str:
    """The first line of an error, with the model's own line."""
    where = raised_at(error)
    return f"{first_line(error)}; raised at {where}" if where else first_line(error)


def raised_at(error: BaseException) -> str:
    """The model's innermost line in an error's or its cause's traceback.

    Returns:
        ``file.py:12: code``; ``""`` where none is known.
    """
    cause: BaseException | None = error
    while cause is not None:
        own = [frame for frame in traceback.extract_tb(cause.__traceback__) if _is_own(frame.filename)]
        if own:
            frame = own[-1]
            return ": ".join(filter(None, [f"{Path(frame.filename).name}:{frame.lineno}", frame.line]))
        cause = cause.__cause__ or cause.__context__
    return ""


def _is_own(file: str) -> bool:
    """True for a model's own file, not torch's, ours or Python's."""
    path = Path(file).absolute()
    if file.startswith("<") or path.is_relative_to(_TORCH) or path.is_relative_to(_COMPILER):
        return False
    return not path.is_relative_to(_PYTHON) or "site-packages" in path.parts


def called_at(node: Node) -> str:
    """The end of a node's message: the line that calls it."""
    return f"the model calls it at {source_line(node) or 'an unknown line'}"


@contextmanager
def failures_named(node: Node, failing: str) -> Iterator[None]:
    """Name the node in whatever another library raises here.

    Args:
        node: the node that is being run.
        failing: what cannot be done with it, as a message begins.

    Raises:
        InternalError: for what is raised inside that is none of our own errors.
    """
    try:
        yield
    except CompilerError:
        raise
    except Exception as error:
        raise InternalError(f"{failing} ({first_line(error)}); {called_at(node)}") from error
