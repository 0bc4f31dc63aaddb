"""``onnx-demucs web``: a static page that separates songs in the browser."""

from pathlib import Path
from typing import Annotated

import typer


def web(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL.onnx", help="What onnx-demucs compile --target web wrote.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="The folder to write; a web server takes it."),
    ] = Path("site"),
    force: Annotated[bool, typer.Option("--force", help="Replace DIR if it is an earlier site.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve it on this machine until Ctrl-C.")] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="With --serve: the port; 0 for any that is free.")
    ] = 8000,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Write a page that separates songs in the browser with MODEL.

    The songs stay in the browser. DIR is static: any web server can serve it.
    """
    from contextlib import ExitStack, suppress

    from onnx_demucs_compiler.artifact.writing import write_folder
    from onnx_demucs_compiler.interruption import Interrupted
    from onnx_demucs_compiler.web import SiteServer, check_site, site_files

    check_site(output, force=force)
    files = site_files(model)
    with ExitStack() as stack:
        # The port is taken first: nothing is written if it is in use.
        server = stack.enter_context(SiteServer(output, port)) if serve else None
        write_folder(output, files)
        with suppress(*([Interrupted] if server else [])):  # Ctrl-C is how serving ends
            if not quiet:
                typer.echo(server.url if server else output / "index.html")
            if server:
                server.serve_forever()
