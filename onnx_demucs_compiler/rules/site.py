"""The node for which a DECOMPOSE rule is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch.fx import Node


@dataclass(frozen=True)
class Site:
    """The node a rule is asked to lower.

    Attributes:
        node: the node of the exported program.
        static: those of the node's tensor arguments that no model input reaches, by schema name; a
            rule that needs numbers (a window, say) takes them from here.
        lowered: what an earlier node of the program has become, for rules about two operators in a row.
    """

    node: Node
    static: Mapping[str, NDArray[Any]]
    lowered: Callable[[Node], Any]

    @property
    def op(self) -> Any:
        """The ATen overload that the node calls."""
        return self.node.target

    @property
    def result(self) -> Any:
        """The operator's own result: a fake tensor with shape and dtype only."""
        return self.node.meta["val"]
