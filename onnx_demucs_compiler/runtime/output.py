"""Folders of stems, which hold complete files only, whatever happens."""

from __future__ import annotations

import re
import unicodedata
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


RESERVED = re.compile(r"(CON|PRN|AUX|NUL|(COM|LPT)[1-9¹²³]|CONIN\$|CONOUT\$) *(\.|$)", re.IGNORECASE)
"""Devices, whatever follows the dot: Windows makes no file of such a name (Microsoft, Naming Files, 2024)."""

MANGLED = re.compile(r"[. ]$|[\x00-\x1f\x7f\ud800-\udfff]")
"""Dots and spaces at the end, which Windows drops; control characters; bytes that are no UTF-8."""


def safe_name(name: str) -> str:
    """A name that every file system takes as one path component."""
    safe = re.sub(r"[^\w.=+ -]", "_", name).lstrip(".").rstrip(". ") or "_"
    return f"_{safe}" if RESERVED.match(safe) else safe


def check_distinct(names: Iterable[tuple[str, str]], advice: str) -> None:
    """Make sure that no system takes two files or folders for one.

    Some ignore case, and some the form in which Unicode writes a letter.

    Args:
        names: of each, what the user calls it and its name on disk.
        advice: what to do otherwise.

    Raises:
        UsageError: two of them are.
    """
    distinct = DistinctNames(advice)
    for called, name in names:
        distinct.add(called, name)


class DistinctNames:
    """Names on disk of which no system takes two for one."""

    def __init__(self, advice: str) -> None:
        """Start with none; ``advice`` is what to do where two meet."""
        self._advice = advice
        self._seen: dict[str, str] = {}

    def add(self, called: str, name: str) -> None:
        """Add a name on disk, and what the user calls it.

        Raises:
            UsageError: another is the same to some system.
        """
        folded = unicodedata.normalize("NFD", name).casefold()
        if folded in self._seen:
            raise UsageError(
                f"{self._seen[folded]} and {called} would both be written to {name}, here or on another "
                f"system; {self._advice}"
            )
        self._seen[folded] = called


def check_folder_name(name: str, song: Path) -> None:
    """Make sure that a folder of stems can have a name.

    Raises:
        UsageError: on some system no folder has it.
    """
    if MANGLED.search(name) or RESERVED.match(name):
        raise UsageError(
            f"{song}: no folder for its stems can be called {name!r} on every system; rename the song"
        )


def stem_files(folder: Path, stems: Iterable[str], extension: str) -> dict[str, Path]:
    """The file of each stem, by the stem's name.

    Raises:
        UsageError: two of them are one file to some system.
    """
    files = {stem: folder / f"{safe_name(stem)}.{extension}" for stem in stems}
    check_distinct(
        ((stem, file.name) for stem, file in files.items()),
        "write one of them with --two-stems, or compile a choice with --stems",
    )
    return files


def check_targets(targets: Iterable[Path], song: Path) -> None:
    """Make sure that files can be put at ``targets`` without loss.

    Raises:
        CompilerError: one of them is a folder, or the song itself.
    """
    for target in targets:
        if target.is_dir():
            raise CompilerError(f"{target}: is a folder where a stem would be written")
        if target.exists() and target.samefile(song):
            raise CompilerError(f"{target}: is the song itself, which a stem would overwrite")


class OutputFolders:
    """The output folders of one run, which its threads share."""

    def __init__(self, out_dir: Path) -> None:
        """Make none yet; the parent of ``out_dir`` is never made."""
        self._out_dir = out_dir
        self._made: list[Path] = []
        self._lock = Lock()

    @contextmanager
    def scratch(self, folder: Path) -> Iterator[Path]:
        """Lend a temporary folder inside ``folder``, and leave no trace of it.

        What is missing of the folders down to ``folder`` is made, and removed again where nothing was put
        into it.

        Raises:
            CompilerError: the folders cannot be made or written to.
        """
        try:
            with self._lock:
                scratch = self._make(folder)
            with scratch as name:
                yield Path(name)
        finally:
            with self._lock:
                self._remove_empty()

    def _make(self, folder: Path) -> TemporaryDirectory[str]:
        chain = [path for path in reversed([folder, *folder.parents]) if path.is_relative_to(self._out_dir)]
        try:
            for path in chain:
                if not path.exists():
                    path.mkdir()
                    self._made.append(path)
            return TemporaryDirectory(prefix=".onnx-demucs-", dir=folder)
        except OSError as error:
            raise CompilerError(f"cannot write to the output folder {folder}: {error.strerror}") from error

    def _remove_empty(self) -> None:
        for path in reversed(self._made):
            with suppress(OSError):
                path.rmdir()
        self._made = [path for path in self._made if path.exists()]


def publish(files: Iterable[Path], folder: Path) -> None:
    """Move finished files into ``folder``, each replacing its namesake atomically.

    It is on the same file system.
    """
    for file in files:
        file.replace(folder / file.name)
