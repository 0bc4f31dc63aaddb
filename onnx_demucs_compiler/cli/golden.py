"""``onnx-demucs golden``: vectors to test a client's own STFT and segments with."""

from pathlib import Path
from typing import Annotated

import typer


def golden(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to write.")],
    n_fft: Annotated[int, typer.Option("--n-fft", metavar="N", help="Of the STFT, a power of two.")] = 4096,
    force: Annotated[bool, typer.Option("--force", help="Replace DIR if it is an earlier one.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Write golden vectors for a client's own STFT, inverse and segments.

    For every interface DIR has what a client feeds and what it makes of a graph's outputs, as .npy files, and
    a README with shapes, axes and normalisation.
    """
    from onnx_demucs_compiler.runtime.golden import write_golden

    readme = write_golden(output, n_fft, force=force)
    if not quiet:
        typer.echo(readme)
