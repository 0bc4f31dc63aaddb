"""What a compile yields, and how it gets to disk: whole or not at all, and the same bytes every time."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import onnx

    from onnx_demucs_compiler.metadata import ArtifactMetadata
    from onnx_demucs_compiler.report import Report


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
        data = serialized(self.model)
        files = {target: data}
        if ort_format or ops_config:
            from onnx_demucs_compiler.ort import companions

            files |= companions(target, data, ort_format=ort_format, ops_config=ops_config)
        write_together(files)
        return target

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
    """Write a file under a temporary name beside it, then rename.

    Raises:
        CompilerError: the folder is missing or read-only, or the disk is full.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write files under temporary names beside them, and rename them once all are complete.

    Raises:
        CompilerError: a folder is missing or read-only, or the disk is full.
    """
    with contextlib.ExitStack() as stack:
        complete = {path: stack.enter_context(_temporary(path, data)) for path, data in files.items()}
        for path, temporary in complete.items():
            try:
                temporary.replace(path)
            except OSError as error:
                raise _cannot_write(path, error) from error


@contextlib.contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[Path]:
    """A file with this content under a temporary name beside a path, removed unless it is renamed."""
    check_writable(path)
    try:
        # A file system bounds the length of a name, and the longest one must still get a suffix.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
        except OSError as error:
            raise _cannot_write(path, error) from error
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


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


def _cannot_write(path: Path, error: OSError) -> CompilerError:
    return CompilerError(f"{path}: cannot be written ({error.strerror or error})")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
