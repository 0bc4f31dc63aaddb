"""Writing files: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

DESCRIPTORS = Path("/proc/self/fd")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that appears under its name once it is complete.

    Raises:
        CompilerError: the folder is missing or read-only, or the disk is full.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files that appear under their names once all are complete.

    They appear in the order given. Until then they have no name where the system knows such files, so that
    not even SIGKILL leaves a part of one; elsewhere they have hidden ones beside their places. Where one
    cannot get its name, those before it give theirs back to what had them.

    Raises:
        CompilerError: a folder is missing or read-only, or the disk is full.
    """
    with contextlib.ExitStack() as stack:
        complete = [stack.enter_context(_complete(path, data)) for path, data in files.items()]
        for path in files if len(files) > 1 else ():
            stack.enter_context(_put_back_on_error(path))
        for publish in complete:
            publish()


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that appears once all in it is complete.

    Args:
        folder: where; what is there is replaced.
        files: their content, by their paths in it.

    Raises:
        CompilerError: the folder that it goes into is missing or read-only, or the disk is full.
    """
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        complete, earlier = beside / "new", beside / "old"
        complete.mkdir()
        for name, content in files.items():
            path = complete / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        if folder.exists():
            folder.rename(earlier)
        try:
            complete.rename(folder)
        except BaseException:
            if earlier.exists():
                earlier.rename(folder)
            raise
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def _complete(path: Path, data: bytes) -> Iterator[Callable[[], None]]:
    """Yield a function that gives a complete file its name.

    Without that call the file is removed.
    """
    check_writable(path)
    # A file system bounds the length of a name, and the longest one must still get a suffix.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(_open_new(temporary), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if os.fstat(file.fileno()).st_nlink == 0:
                yield lambda: _publish(path, temporary, file.fileno())
                return
        yield lambda: _publish(path, temporary)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _put_back_on_error(path: Path) -> Iterator[None]:
    """Put back what a path had if anything meanwhile fails."""
    existed = path.exists()
    earlier = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.old")
    with contextlib.suppress(OSError):  # nothing is there, or the file system knows no second names
        os.link(path, earlier, follow_symlinks=os.link not in os.supports_follow_symlinks)
    try:
        yield
    except BaseException:
        if earlier.is_symlink() or earlier.exists():
            earlier.replace(path)
        elif not existed:
            path.unlink(missing_ok=True)
        raise
    finally:
        earlier.unlink(missing_ok=True)


def _publish(path: Path, temporary: Path, descriptor: int | None = None) -> None:
    try:
        if descriptor is None or not _named(descriptor, path, temporary):
            temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _open_new(temporary: Path) -> int:
    """A descriptor of an empty file, unnamed unless a name is given."""
    if hasattr(os, "O_TMPFILE") and DESCRIPTORS.is_dir():
        with contextlib.suppress(OSError):  # of a file system that knows no such files
            return os.open(temporary.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
    return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _named(descriptor: int, path: Path, temporary: Path) -> bool:
    """Give a nameless file its name; return whether it has it now.

    Where the name is taken and must be replaced, it gets a temporary one.
    """

    def link(name: Path) -> None:
        # A folder's descriptor makes Python follow the link; it is not looked at for an absolute path.
        os.link(DESCRIPTORS / str(descriptor), name, src_dir_fd=descriptor, follow_symlinks=True)

    try:
        link(path)
    except FileExistsError:
        link(temporary)
        return False
    return True


def check_writable(path: Path) -> None:
    """Fail early if the output path is not writable.

    Raises:
        CompilerError: the folder is missing, is not a folder or is read-only, or the path is a folder, a
            device or a pipe.
    """
    folder = path.parent
    if not folder.is_dir():
        raise CompilerError(f"{path}: the folder {folder} does not exist; create it first")
    if path.is_dir():
        raise CompilerError(f"{path} is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        raise CompilerError(f"{path} is not a regular file, and would be replaced by one; give another name")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CompilerError(f"{path}: the folder {folder} is not writable")


def check_folder(folder: Path, *, marked_by: str) -> None:
    """Fail early if a folder cannot be written.

    Args:
        folder: where.
        marked_by: a file that such a folder has.

    Raises:
        UsageError: something else is there.
        CompilerError: the folder that it goes into is missing or read-only.
    """
    if not folder.parent.is_dir():
        raise CompilerError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise CompilerError(f"{folder}: the folder {folder.parent} is not writable")
    if folder.exists() and not (folder / marked_by).is_file():
        raise UsageError(f"{folder} has no {marked_by}, and would be replaced; give another name")


def check_replaceable(path: Path, *, force: bool) -> None:
    """Fail early if a file would be lost.

    Raises:
        UsageError: the path exists, and is not to be replaced.
    """
    if path.exists() and not force:
        raise UsageError(f"{path} exists; give --force to replace it")


def check_replaceable_folder(folder: Path, known: Iterable[str], refusal: str, *, force: bool) -> None:
    """Fail early if a folder cannot be written without loss.

    Args:
        folder: where.
        known: paths below it, with slashes, that an earlier one may have.
        refusal: what is said of a folder that has more.
        force: replace an earlier one.

    Raises:
        UsageError: something is there, and is not to be replaced, or is more than is known.
        CompilerError: the folder that it goes into is not there.
    """
    if not folder.parent.is_dir():
        raise CompilerError(f"{folder}: the folder {folder.parent} does not exist; create it first")
    check_replaceable(folder, force=force)
    if not folder.exists():
        return
    if not folder.is_dir() or {path.relative_to(folder).as_posix() for path in folder.rglob("*")} - {*known}:
        raise UsageError(f"{folder} {refusal}; give another name")


def _cannot_write(path: Path, error: OSError) -> CompilerError:
    return CompilerError(f"{path}: cannot be written ({error.strerror or error})")
