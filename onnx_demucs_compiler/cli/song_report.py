"""The end of ``separate``: names of stems, summary, failed songs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from onnx_demucs_compiler.errors import CompilerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SUMMARY_BEGINS = '{"songs": ['


@dataclass(frozen=True)
class SongReport:
    """The ways in which a run is reported.

    Attributes:
        summary: a file for what ``as_json`` prints.
        quiet: print nothing.
        as_json: print one JSON object.
    """

    summary: Path | None
    quiet: bool
    as_json: bool

    @property
    def tells(self) -> bool:
        """True if people read along."""
        return not (self.quiet or self.as_json)

    def check(self) -> None:
        """Fail early if the summary cannot be written without loss."""
        from onnx_demucs_compiler.artifact.writing import check_writable

        if self.summary is None:
            return
        check_writable(self.summary)
        if self.summary.exists() and not self.summary.read_bytes().startswith(SUMMARY_BEGINS.encode()):
            raise UsageError(f"{self.summary} exists, and is no summary; give another name")

    def finish(
        self,
        songs: Sequence[Mapping[str, Any]],
        failed: Sequence[Mapping[str, Any]],
        device: Mapping[str, Any],
    ) -> None:
        """Report songs that have stems, those that failed, and what computed.

        Args:
            songs: of each ``song``, ``files`` by stem, and more for the summary; times are in seconds.
            failed: of each ``song`` and ``error``.
            device: for the summary.

        Raises:
            CompilerError: a song failed.
        """
        from onnx_demucs_compiler.artifact.writing import write_atomically

        told = _json({"songs": songs, "failed": failed, "device": device})
        if self.summary is not None:
            write_atomically(self.summary, f"{told}\n".encode())
        if self.as_json:
            typer.echo(told)
        elif not self.quiet:
            for song in songs:
                for file in song["files"].values():
                    typer.echo(file)
        if failed:
            count = len(songs) + len(failed)
            several = f"{len(failed)} of {count} songs failed: " if count > 1 else ""
            first = failed[0]["error"]
            raise CompilerError(several + "; ".join(str(one["error"]) for one in failed)) from (
                first if isinstance(first, BaseException) else None
            )


def _json(told: Mapping[str, Any]) -> str:
    """One line: paths are strings, and an SNR without end is null."""
    from onnx_demucs_compiler.checking.decibels import finite

    return json.dumps(finite(told), default=str)
