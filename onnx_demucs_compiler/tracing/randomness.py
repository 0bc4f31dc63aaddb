"""Random numbers of Python, pinned as they are in the graph."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def least_random() -> Iterator[None]:
    """Let ``random.randrange`` draw the least number there is.

    A model with a random shift would otherwise differ from itself from one run to the next.
    """
    with patch.object(random, "randrange", _least):
        yield


def _least(start: int, stop: int | None = None, step: int = 1) -> int:  # noqa: ARG001 - as random.randrange
    return 0 if stop is None else start
