"""Running the command line in this process."""

from typer.testing import CliRunner, Result

from onnx_demucs_compiler.cli import app

__all__ = ["Result", "run"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])
