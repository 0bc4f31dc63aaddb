"""Keeping the tools' chatter from the user: what matters of it comes back as errors and in the report."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGERS = ("torch.onnx", "torch.fx", "torch.export", "onnxscript", "onnx_ir", "onnx_graphsurgeon")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, logs below errors, the exporter's progress marks and torch.export's graph dumps."""
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
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
