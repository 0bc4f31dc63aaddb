"""The command line, ``onnx-demucs``: one file per command.

A command imports what it needs inside its function, so that ``onnx-demucs separate`` runs where torch is
not installed and every ``--help`` is quick. The files of ``compile`` and ``rules`` come with the compiler.
"""

import errno
import io
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.cli.embed import embed
from onnx_demucs_compiler.cli.golden import golden
from onnx_demucs_compiler.cli.info import info
from onnx_demucs_compiler.cli.ops_config import ops_config
from onnx_demucs_compiler.cli.separate import separate
from onnx_demucs_compiler.cli.verify import verify
from onnx_demucs_compiler.cli.web import web
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.installation import COMPILER, check_compiler
from onnx_demucs_compiler.tracing.quiet import debugging

ABSENT = {name for name in ("compile", "rules") if find_spec(f"{__name__}.{name}") is None}
"""The commands whose files are the compiler's, where it is not installed."""


def _of_the_compiler(name: str) -> Callable[..., None]:
    """A command of the compiler, or one that says what to install."""
    if name not in ABSENT:
        command: Callable[..., None] = getattr(import_module(f"{__name__}.{name}"), name)
        return command

    def refuse() -> None:
        check_compiler(name)

    refuse.__doc__ = f"Needs {COMPILER}, which is not installed."
    return refuse


COMMANDS: dict[str, Callable[..., None]] = {
    "compile": _of_the_compiler("compile"),
    "separate": separate,
    "verify": verify,
    "info": info,
    "web": web,
    "ops-config": ops_config,
    "embed": embed,
    "golden": golden,
    "rules": _of_the_compiler("rules"),
}
"""Every command by name, in the order of ``--help``."""


class _Commands(TyperGroup):
    """Turns a command's exception into a line and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program.

        What the terminal's encoding lacks, in a path or a table, is printed escaped. Python's warnings are
        for developers, who ask for them with ``-W`` or ``ONNX_DEMUCS_DEBUG``.
        """
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        with warnings.catch_warnings():
            if not (sys.warnoptions or debugging()):
                warnings.simplefilter("ignore")
            return super().main(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, leaving bugs their traceback and usage errors to typer."""
        try:
            return super().invoke(ctx)
        except CompilerError as error:
            if debugging():
                traceback.print_exception(error)
            _fail(str(error), error.exit_code, getattr(error, "__notes__", ()))
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno is None:
                raise
            _fail(_describe(error), CompilerError.exit_code)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            _fail("there is not enough memory; free some, or ask for less", CompilerError.exit_code)


def _fail(message: str, exit_code: int, notes: Iterable[str] = ()) -> None:
    typer.echo("\n".join([f"error: {' '.join(message.split())}", *notes]), err=True)
    raise typer.Exit(exit_code)


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Torch has no class of its own for it on a CPU."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _describe(error: OSError) -> str:
    reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
    return f"{reason}: {error.filename}" if error.filename else f"{reason}"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"onnx-demucs {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, command in COMMANDS.items():
    # An absent one takes any options, --help too, and refuses.
    settings = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    app.command(name, context_settings=settings if name in ABSENT else None)(command)


@app.callback()
def onnx_demucs(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compile Demucs models to ONNX, and separate music with them."""
