"""Python's search for cycles of garbage, put off until a graph is built."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Search once, at the end: a graph in the making is millions of live objects, seen by every search."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
        gc.collect()
