"""The parents of torch.fx's nodes, without their ancestors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch.fx.traceback
from torch.fx.traceback import NodeSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.fx import Node


@contextmanager
def parents_only() -> Iterator[None]:
    """Let nodes remember their parents, and not their ancestors.

    Every trace would copy the whole line for every node.
    """
    with patch.object(torch.fx.traceback, "NodeSource", _Parent):
        yield


class _Parent(NodeSource):
    """A node's parent, whose own is forgotten."""

    def __init__(self, node: Node | None, pass_name: str = "", action: Any = None) -> None:
        super().__init__(None, pass_name, action)
        if node is not None:
            self.node_info = self.NodeInfo(node.name, str(node.target), id(node.graph))
