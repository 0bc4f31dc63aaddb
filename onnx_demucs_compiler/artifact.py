"""What a compile yields, and how it gets to disk: whole or not at all, and the same bytes every time."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import onnx

    from onnx_demucs_compiler.metadata import ArtifactMetadata
    from onnx_demucs_compiler.report import Report

DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True)
class CompiledModel:
    """A compiled model.

    Attributes:
        model: the ONNX model.
        metadata: what it says of itself.
        report: how it came about.
    """

    model: onnx.ModelProto
    metadata: ArtifactMetadata
    report: Report

    def save(
        self, path: str | os.PathLike[str], *, ort_format: bool = False, ops_config: bool = False
    ) -> Path:
        """Write the model to a file; an existing one is replaced once the new one is complete.

        Args:
            path: the ``.onnx`` file.
            ort_format: write the model in ORT format as well, under the same name with ``.ort``.
            ops_config: write the reduced-operator config of the ORT-format model as well, under the same
                name with ``.required_operators_and_types.config``.

        Returns:
            The path of the ``.onnx`` file.

        Raises:
            CompilerError: a file cannot be written, or ONNX Runtime cannot convert the model.
        """
        target = Path(path)
        write_together(self.files(target, ort_format=ort_format, ops_config=ops_config))
        return target

    def files(self, path: Path, *, ort_format: bool = False, ops_config: bool = False) -> dict[Path, bytes]:
        """What :meth:`save` writes, complete and not yet written.

        Raises:
            CompilerError: ONNX Runtime cannot convert the model.
        """
        from onnx_demucs_compiler.ort import companions

        data = serialized(self.model)
        return {path: data} | companions(path, data, ort_format=ort_format, ops_config=ops_config)

    def save_bundle(self, folder: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write what a reduced build of ONNX Runtime takes: model, ORT format, config, README and checksums.

        Args:
            folder: what appears once it is complete.
            force: replace an earlier bundle.

        Returns:
            The path of the ``.onnx`` file in it.

        Raises:
            UsageError: something is there, and is not to be replaced, or is no bundle.
            CompilerError: it cannot be written, or ONNX Runtime cannot convert the model.
        """
        from onnx_demucs_compiler.ort import write_bundle

        return write_bundle(Path(folder), self.model.graph.name, serialized(self.model), force=force)


def serialized(model: onnx.ModelProto) -> bytes:
    """The model's bytes, in protobuf's deterministic order."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that appears under its name once it is complete.

    Raises:
        CompilerError: the folder is missing or read-only, or the disk is full.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files that appear under their names once all are complete.

    Until then they have no name where the system knows such files, so that not even SIGKILL leaves a part of
    one; elsewhere they have hidden ones beside their places.

    Raises:
        CompilerError: a folder is missing or read-only, or the disk is full.
    """
    with contextlib.ExitStack() as stack:
        complete = [stack.enter_context(_complete(path, data)) for path, data in files.items()]
        for publish in complete:
            publish()


@contextlib.contextmanager
def _complete(path: Path, data: bytes) -> Iterator[Callable[[], None]]:
    """A file with this content, removed unless it is given its name, which calling what is yielded does."""
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


def _publish(path: Path, temporary: Path, descriptor: int | None = None) -> None:
    try:
        if descriptor is None or not _named(descriptor, path, temporary):
            temporary.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _open_new(temporary: Path) -> int:
    """A descriptor of an empty file without a name, or with the one given."""
    if hasattr(os, "O_TMPFILE") and DESCRIPTORS.is_dir():
        with contextlib.suppress(OSError):  # of a file system that knows no such files
            return os.open(temporary.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
    return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _named(descriptor: int, path: Path, temporary: Path) -> bool:
    """Give a nameless file its name; a temporary one, and False, where that is taken and must be replaced."""

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
    """See to it early that a file can be written where it is wanted.

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


def check_replaceable(path: Path, *, force: bool) -> None:
    """See to it early that nothing is lost.

    Raises:
        UsageError: the path exists, and is not to be replaced.
    """
    if path.exists() and not force:
        raise UsageError(f"{path} exists; give --force to replace it")


def _cannot_write(path: Path, error: OSError) -> CompilerError:
    return CompilerError(f"{path}: cannot be written ({error.strerror or error})")
