"""Python that stands in for what cannot be traced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Patch:
    """An attribute and what stands in for it.

    Attributes:
        owner: a Python module, class or ``nn.Module``.
        attribute: the name on it.
        replacement: the value during the trace.
    """

    owner: Any
    attribute: str
    replacement: Any

    def __str__(self) -> str:
        name = getattr(self.owner, "__name__", type(self.owner).__name__)
        return f"{name}.{self.attribute}"
