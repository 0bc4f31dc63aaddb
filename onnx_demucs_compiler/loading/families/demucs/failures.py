"""Failures of demucs and its libraries, as errors of one line."""

import textwrap
from importlib import import_module

from onnx_demucs_compiler.errors import CompilerError

_LINES = 4  # torch's on a state that does not fit: its class, names missing, names unexpected, a wrong shape
_WIDTH = 150


def one_line(error: BaseException) -> str:
    """The error's class and message on one line.

    Of each of up to four lines it takes at most 150 characters.
    """
    lines = f"{type(error).__name__}: {error}".splitlines()[:_LINES]
    return " ".join(textwrap.shorten(line, width=_WIDTH, placeholder=" ...") for line in lines)


def check_diffq(what: str) -> None:
    """Fail if diffq is not installed.

    demucs would print lines of its own and exit.

    Args:
        what: What is being loaded, and is quantised.

    Raises:
        CompilerError: If diffq cannot be imported.
    """
    try:
        import_module("diffq")
    except ImportError as error:
        raise without_diffq(what) from error


def without_diffq(what: str) -> CompilerError:
    """The error where ``what`` cannot be loaded because diffq is not installed."""
    return CompilerError(
        f"{what} is quantised with DiffQ, which is not installed; run: python -m pip install diffq"
    )
