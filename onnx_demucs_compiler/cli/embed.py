"""``onnx-demucs embed``: a model as sources of C."""

from pathlib import Path
from typing import Annotated

import typer


def embed(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model as .onnx, which is converted, or .ort.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to write.")],
    prefix: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of files and symbols.", show_default="MODEL without suffix"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace DIR if it is an earlier one of the same NAME.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Write MODEL in ORT format as sources of C.

    They are built into a program or a plug-in. DIR has a header with the symbols NAME_begin, NAME_end and
    NAME_size, and a CMakeLists.txt.
    """
    from onnx_demucs_compiler.ort import as_ort_format
    from onnx_demucs_compiler.ort.embedded import check_embedded, prefix_of, write_embedded

    name = prefix_of(model) if prefix is None else prefix
    check_embedded(output, name, force=force)
    header = write_embedded(output, as_ort_format(model), name, force=force)
    if not quiet:
        typer.echo(header)
