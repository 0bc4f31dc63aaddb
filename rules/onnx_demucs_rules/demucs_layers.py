"""Finding layers of demucs in a model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def layers_of(module: nn.Module, name: str, file: str = "demucs.demucs") -> list[Any]:
    """The layers of class ``FILE.NAME`` that run as demucs wrote them.

    Args:
        module: the model; demucs need not be installed.
        name: of the class.
        file: the module of demucs that defines it.
    """
    layer: Any = getattr(sys.modules.get(file), name, None)
    if layer is None:
        return []
    return [
        child
        for child in module.modules()
        if getattr(type(child), "forward", None) is layer.forward and "forward" not in vars(child)
    ]
