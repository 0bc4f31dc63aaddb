"""Warnings: lines on stderr that change no exit code."""

from collections.abc import Iterable

import typer


def print_warnings(warnings: Iterable[str], *, quiet: bool) -> None:
    """Print each warning as one line on stderr; nothing if ``quiet``."""
    if quiet:
        return
    for warning in warnings:
        typer.echo(f"warning: {' '.join(warning.split())}", err=True)
