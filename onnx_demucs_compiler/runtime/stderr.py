"""The process' stderr, which native libraries write to past Python."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STDERR = 2
"""The file descriptor."""

_one_at_a_time = RLock()


@contextmanager
def unheard() -> Iterator[None]:
    """Keep what native libraries print off stderr.

    As libmpg123 does of damage that it survives. Other threads wait for each other here.
    """
    with _one_at_a_time:
        try:
            stderr = os.dup(STDERR)
        except OSError:  # closed: nobody would hear
            yield
            return
        try:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), STDERR)
            yield
        finally:
            os.dup2(stderr, STDERR)
            os.close(stderr)


@contextmanager
def heard() -> Iterator[None]:
    """Give Python a stderr that is heard while another thread is :func:`unheard`."""
    try:
        is_ours = sys.stderr.fileno() == STDERR
    except (AttributeError, OSError):  # there is none, or it is a buffer
        is_ours = False
    if not is_ours:
        yield
        return
    own = os.fdopen(os.dup(STDERR), "w", 1, encoding=sys.stderr.encoding, errors=sys.stderr.errors)
    with own, redirect_stderr(own):
        yield
