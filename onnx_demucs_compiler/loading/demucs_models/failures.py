"""How demucs, and the libraries it loads with, fail, put as errors a user can act on."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from onnx_demucs_compiler.errors import CompilerError


def one_line(error: BaseException) -> str:
    """The error's class and message on one line of at most 200 characters."""
    return textwrap.shorten(f"{type(error).__name__}: {error}", width=200, placeholder=" ...")


@contextmanager
def fatal_as_error(what: str) -> Iterator[None]:
    """Raise CompilerError where demucs prints a message and exits the process.

    Loading exits for one reason: the weights are quantised and diffq is not installed.

    Args:
        what: What is being loaded.

    Raises:
        CompilerError: If demucs exits.
    """
    try:
        yield
    except SystemExit as error:
        raise without_diffq(what) from error


def without_diffq(what: str) -> CompilerError:
    """The error where ``what`` cannot be loaded because diffq is not installed."""
    return CompilerError(
        f"{what} is quantised with DiffQ, which is not installed; run: python -m pip install diffq"
    )
