"""Errors a user can act on: one line that names what is wrong and what to do.

The command line prints the message alone and exits with the class's ``exit_code``; anything that is
not one of these is a bug and keeps its traceback.
"""


class CompilerError(Exception):
    """The work was understood and failed: checkpoint, export, parity, audio, disk or runtime."""

    exit_code = 1


class UsageError(CompilerError):
    """The request itself is wrong: an unknown name, an option's value, options that exclude each other."""

    exit_code = 2
