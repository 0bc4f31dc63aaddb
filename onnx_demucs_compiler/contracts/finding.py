"""The findings of a contract in an artifact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx_demucs_compiler.contracts.artifact import Node

SHOWN = 3
"""Names of nodes in one line."""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes:
        what: what is found, where it breaks, and what would do, in one line.
        nodes: the nodes or values that it is about, by name.
        breaks: whether the contract is broken; what only costs something is a note.
    """

    what: str
    nodes: tuple[str, ...] = ()
    breaks: bool = True

    def __str__(self) -> str:
        """One line: what, and how many nodes, and the first of them."""
        if not self.nodes:
            return self.what
        names = ", ".join(self.nodes[:SHOWN]) + (", …" if len(self.nodes) > SHOWN else "")
        return f"{self.what} ({len(self.nodes)}: {names})"


def violation(what: str, nodes: Iterable[Node] = ()) -> Finding:
    """A breach of the contract."""
    return Finding(what, tuple(node.name for node in nodes))


def note(what: str, nodes: Iterable[Node] = ()) -> Finding:
    """Something that costs, and breaks nothing."""
    return Finding(what, tuple(node.name for node in nodes), breaks=False)
