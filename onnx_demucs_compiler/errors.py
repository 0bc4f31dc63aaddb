"""Errors a user can act on: fault and remedy in one line.

The command line prints the message alone and exits with the class's ``exit_code``. What a step of a compile
raises besides becomes an InternalError; anything else is a bug and keeps its traceback.
"""


class CompilerError(Exception):
    """The work was understood and failed: checkpoint, export, parity, audio, disk."""

    exit_code = 1


class InternalError(CompilerError):
    """A step failed in an unforeseen way; ``__cause__`` has the traceback."""


class UsageError(CompilerError):
    """The request itself is wrong: an unknown name, value or combination."""

    exit_code = 2


def in_words(error: OSError) -> str:
    """The system's words for an error, or a store's, in one line."""
    return error.strerror or " ".join(str(error).split())


def first_line(error: BaseException) -> str:
    """The first line of another library's error, or else its class."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
