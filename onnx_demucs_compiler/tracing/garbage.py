"""Garbage collection of cycles, postponed until a graph is built."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

YOUNGEST = 0
"""The generation of objects made since the last collection."""


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Collect once, at the end, among the objects made meanwhile.

    A graph in the making is millions of live objects, which every collection visits.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
        gc.collect(YOUNGEST)
