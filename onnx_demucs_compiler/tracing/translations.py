"""torch.onnx's own translations, read once in a process."""

from __future__ import annotations

import copy
import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from torch.onnx._internal.exporter._registration import ONNXRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

_read = functools.cache(ONNXRegistry.from_torchlib)


@contextmanager
def translations_read_once() -> Iterator[None]:
    """Let exports share what torch.onnx finds out about its translations.

    Every export would parse the Python source of some 500 functions. Each has a registry of its own still,
    in which it may register more.
    """
    with patch.object(ONNXRegistry, "from_torchlib", staticmethod(_registry)):
        yield


def _registry(**options: Any) -> ONNXRegistry:
    registry = copy.copy(_read(**options))
    registry.functions = {target: list(known) for target, known in registry.functions.items()}
    return registry
