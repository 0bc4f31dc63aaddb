"""The command line, ``onnx-demucs``: one file per command, and what they share here.

A command imports what it needs inside its function, so that ``onnx-demucs separate`` runs where torch is
not installed and every ``--help`` is quick.
"""

import errno
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.cli.compile import compile as compile_
from onnx_demucs_compiler.cli.ops_config import ops_config
from onnx_demucs_compiler.cli.rules import rules
from onnx_demucs_compiler.cli.separate import separate
from onnx_demucs_compiler.cli.verify import verify
from onnx_demucs_compiler.errors import CompilerError

COMMANDS: dict[str, Callable[..., None]] = {
    "compile": compile_,
    "separate": separate,
    "verify": verify,
    "ops-config": ops_config,
    "rules": rules,
}
"""Every command by name, in the order of ``--help``."""


class _Commands(TyperGroup):
    """The one place where what a command raises becomes a line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; bugs keep their traceback, and usage errors typer's own report (exit code 2)."""
        try:
            return super().invoke(ctx)
        except CompilerError as error:
            _fail(str(error), error.exit_code)
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


def _fail(message: str, exit_code: int) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
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
    app.command(name)(command)


@app.callback()
def onnx_demucs(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compile Demucs models to ONNX, and separate music with them."""
