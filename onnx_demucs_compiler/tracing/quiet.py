"""The tools' output silenced; what matters becomes errors and report entries."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

DEBUG = "ONNX_DEMUCS_DEBUG"
"""The environment variable under which nothing is kept from whoever debugs a rule."""

LOGGERS = ("torch.onnx", "torch.fx", "torch.export", "onnxscript", "onnx_ir", "onnx_graphsurgeon")


_turned_away: list[tuple[TextIO, TextIO]] = []


def debugging() -> bool:
    """True if nothing is to be silenced and a debugger may stop."""
    return os.environ.get(DEBUG, "0") not in ("", "0")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, logs, the exporter's progress and torch.export's graph dumps.

    Logs of errors stay. While debugging nothing is silenced, so that ``print``, warnings and ``breakpoint()``
    in a rule work.
    """
    if debugging():
        yield
        return
    _turned_away.append((sys.stdout, sys.stderr))
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        _turned_away.pop()
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence what libraries write past Python, unless debugging.

    It goes for the whole process, so keep it short.
    """
    if debugging():
        yield
        return
    with contextlib.ExitStack() as stack, Path(os.devnull).open("wb") as nowhere:
        for stream in (1, 2):
            with contextlib.suppress(OSError):  # closed already
                kept = os.dup(stream)
                stack.callback(os.close, kept)
                stack.callback(os.dup2, kept, stream)
                os.dup2(nowhere.fileno(), stream)
        yield


@contextlib.contextmanager
def aloud() -> Iterator[None]:
    """Lend the streams that :func:`quiet` turned away to code inside it."""
    if not _turned_away:
        yield
        return
    out, error = _turned_away[0]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        yield
