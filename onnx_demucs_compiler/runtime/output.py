"""Where stems go, so that whatever happens a folder holds complete files only."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def safe_name(name: str) -> str:
    """Make a name that any file system takes as one component of a path."""
    return re.sub(r"[^\w.=+ -]", "_", name).lstrip(".") or "_"


def song_folder(out_dir: Path, model: str, song: Path) -> Path:
    """Where the stems of a song go: ``OUT_DIR/MODEL/TRACK``, as demucs has it."""
    return out_dir / safe_name(model) / song.stem


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


@contextmanager
def scratch_folder(folder: Path, out_dir: Path) -> Iterator[Path]:
    """Lend a temporary folder inside ``folder``, and leave no trace of it.

    ``out_dir`` and the folders between it and ``folder`` are made where they are missing (its parent is
    not), and removed again where nothing was put into them.

    Raises:
        CompilerError: the folders cannot be made or written to.
    """
    chain = [path for path in reversed([folder, *folder.parents]) if path.is_relative_to(out_dir)]
    made = []
    try:
        try:
            for path in chain:
                if not path.exists():
                    path.mkdir()
                    made.append(path)
            scratch = TemporaryDirectory(prefix=".onnx-demucs-", dir=folder)
        except OSError as error:
            raise CompilerError(f"cannot write to the output folder {folder}: {error.strerror}") from error
        with scratch as name:
            yield Path(name)
    finally:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir()


def publish(files: Iterable[Path], folder: Path) -> None:
    """Move finished files into ``folder`` of the same file system, each replacing its namesake at once."""
    for file in files:
        file.replace(folder / file.name)
