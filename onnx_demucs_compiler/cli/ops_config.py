"""``onnx-demucs ops-config``: one reduced-operator config for several models."""

from pathlib import Path
from typing import Annotated

import typer

from onnx_demucs_compiler.errors import UsageError


def ops_config(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Models as .onnx, which are converted, or .ort.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The config to write.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write nothing; see whether FILE is what they need.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Write one reduced-operator config for several models, or check one.

    It lists the operators and types that the models need in ORT format, and no others.
    """
    from onnx_demucs_compiler.artifact.writing import check_replaceable, check_writable, write_atomically
    from onnx_demucs_compiler.cli.config_check import check_config
    from onnx_demucs_compiler.ort import as_ort_format
    from onnx_demucs_compiler.ort import ops_config as config_of

    if (output is None) == (check is None):
        raise UsageError("give either --output, the config to write, or --check, one to compare with")
    if output:
        if any(output.resolve() == model.resolve() for model in models):
            raise UsageError(f"{output} would replace a model; give another name")
        check_writable(output)
        check_replaceable(output, force=force)
        write_atomically(output, config_of([as_ort_format(path) for path in models]))
    elif check:
        check_config(check, models)
    if not quiet:
        typer.echo(output or f"{check}: every kernel is there, and no other")
