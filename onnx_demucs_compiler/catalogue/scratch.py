"""Temporary folders of workers, which a killed worker cannot remove."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "onnx-demucs-song-"
LOCK = ".lock"
POLL_SECONDS = 0.05


@contextmanager
def scratch(run: str) -> Iterator[Path]:
    """Lend a folder on this machine's temporary disk (``TMPDIR``).

    Args:
        run: names the run in the folder's name.

    Raises:
        OSError: the disk is full.
    """
    with (
        tempfile.TemporaryDirectory(prefix=f"{PREFIX}{run}-", ignore_cleanup_errors=True) as name,
        Path(name, f"{LOCK}.new").open("wb") as lock,
    ):
        _try_lock(lock)
        Path(name, f"{LOCK}.new").rename(Path(name, LOCK))
        yield Path(name)


def remove_left(run: str = "", patience: float = 0) -> None:
    """Remove the folders of workers that are no more.

    Args:
        run: those of this run only, if given.
        patience: seconds to wait for workers that are about to end.
    """
    if fcntl is None:
        return
    deadline = time.monotonic() + patience
    while not min(map(_remove, _folders(run)), default=True):
        if time.monotonic() >= deadline:
            return
        time.sleep(POLL_SECONDS)


def _folders(run: str) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{PREFIX}{run}*"))


def _remove(folder: Path) -> bool:
    """Remove a folder; False if a process holds its lock."""
    with suppress(OSError), (folder / LOCK).open("rb") as lock:
        if not _try_lock(lock):
            return False
        shutil.rmtree(folder, ignore_errors=True)
    return True


def _try_lock(lock: BinaryIO) -> bool:
    if fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
