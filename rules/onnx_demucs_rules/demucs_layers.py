"""Finding layers of demucs in a model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def layers_of(module: nn.Module, name: str) -> list[Any]:
    """The layers of class ``demucs.demucs.NAME`` that run as demucs wrote them.

    Args:
        module: the model; demucs need not be installed.
        name: of the class.
    """
    layer: Any = getattr(sys.modules.get("demucs.demucs"), name, None)
    if layer is None:
        return []
    return [
        child
        for child in module.modules()
        if getattr(type(child), "forward", None) is layer.forward and "forward" not in vars(child)
    ]
