"""Files and folders, on this machine or in a store.

Pyarrow reaches the stores. A store is named by a URI: ``s3://bucket/folder``, ``gs://…``, ``abfss://…``,
``hdfs://…``, or any other file system of fsspec as ``fsspec+sftp://host/folder``. What pyarrow has to be told
besides stands behind a question mark, as in ``s3://bucket/folder?endpoint_override=minio:9000&scheme=http``.
"""

from __future__ import annotations

import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

URI = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]+)://(?P<host>[^/?]*)(?P<path>[^?]*|.*?)(?P<query>\?\w+=\S*)?")
"""A path may have question marks; only ``?NAME=VALUE`` at the end is for pyarrow."""

WHOLE = ("s3", "gcs", "abfs")
"""Stores, by pyarrow's names, in which an object appears once it is complete."""

PART = ".onnx-demucs-"
"""Begins the name of a file that is being written."""


@dataclass(frozen=True)
class Location:
    """A file or a folder.

    Attributes:
        path: within the store; of this machine as the user wrote it.
        store: the URI without the path; empty for this machine.
    """

    path: str
    store: str = ""

    @classmethod
    def of(cls, text: str) -> Location:
        """Read a path or a URI."""
        found = URI.fullmatch(text)
        if not found:
            return cls(text)
        if found["scheme"].lower() == "file":
            return cls(found["path"])
        return cls(found["path"].strip("/"), f"{found['scheme']}://{found['host']}/{found['query'] or ''}")

    def __str__(self) -> str:
        """As the user wrote it, without credentials."""
        found = URI.fullmatch(self.store)
        if not found:
            return self.path
        return f"{found['scheme']}://{found['host'].rpartition('@')[2]}/{self.path}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.local.name if self.is_local else PurePosixPath(self.path).name

    @property
    def is_local(self) -> bool:
        """True on this machine, or what is mounted there."""
        return not self.store

    @property
    def local(self) -> Path:
        """The path on this machine."""
        return Path(self.path)

    def __truediv__(self, below: str) -> Location:
        """A file or folder below it."""
        return replace(
            self, path=str(self.local / below) if self.is_local else f"{self.path}/{below}".strip("/")
        )

    def absolute(self) -> Location:
        """The same, for a process in another folder."""
        return replace(self, path=str(self.local.absolute())) if self.is_local else self

    def size(self) -> int | None:
        """Bytes of a file; None where there is none.

        Raises:
            OSError: the store does not say.
        """
        if self.is_local:
            return self.local.stat().st_size if self.local.is_file() else None
        files, path = _opened(self)
        found = files.get_file_info(path)
        return int(found.size) if found.is_file else None

    def below(self) -> Iterator[tuple[PurePosixPath, int]]:
        """The files below a folder of a store: relative paths and bytes.

        Raises:
            OSError: there is no such folder, or it cannot be read.
        """
        from pyarrow import fs

        files, folder = _opened(self)
        for found in files.get_file_info(fs.FileSelector(folder, recursive=True)):
            if found.is_file:
                yield PurePosixPath(found.path).relative_to(folder), found.size

    def is_below(self, folder: Location) -> bool:
        """True if it lies in a folder of the same store."""
        return self.store == folder.store and PurePosixPath(self.path).is_relative_to(folder.path)

    def fetch(self, to: Path) -> None:
        """Copy the file of a store to one of this machine.

        Raises:
            OSError: it cannot be read, or the disk is full.
        """
        files, path = _opened(self)
        with files.open_input_stream(path) as source, to.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def read(self) -> bytes:
        """Read the file.

        Raises:
            OSError: it cannot be read.
        """
        if self.is_local:
            return self.local.read_bytes()
        files, path = _opened(self)
        with files.open_input_stream(path) as source:
            return bytes(source.read())

    def put(self, written: Iterable[Path]) -> None:
        """Copy files into this folder, in their order.

        Each appears under its name once it is complete. Objects do so by themselves. On a file system all are
        copied under temporary names first, and then renamed.

        Raises:
            OSError: they cannot be written, or the disk is full.
        """
        if self.is_local:
            _put_on_disk(written, self.local)
            return
        files, folder = _opened(self)
        if files.type_name in WHOLE:
            for file in written:
                _upload(files, file, f"{folder}/{file.name}")
        else:
            _put_by_renaming(written, files, folder)


def sizes_of(locations: Sequence[Location]) -> list[int]:
    """Bytes of each file; 0 where there is none, or nobody says."""
    sizes = [0] * len(locations)
    by_store: dict[str, list[int]] = {}
    for number, location in enumerate(locations):
        if location.is_local:
            sizes[number] = location.size() or 0
        else:
            by_store.setdefault(location.store, []).append(number)
    for numbers in by_store.values():
        paths = [_opened(locations[number]) for number in numbers]
        with suppress(OSError):
            found = paths[0][0].get_file_info([path for _, path in paths])
            for number, one in zip(numbers, found, strict=True):
                sizes[number] = one.size or 0
    return sizes


@cache
def _file_system(store: str) -> tuple[Any, str]:
    """A file system, and the path of its root."""
    from pyarrow import fs

    files, root = fs.FileSystem.from_uri(store)
    return files, root


def _opened(location: Location) -> tuple[Any, str]:
    """The file system of a store, and a location's path there."""
    files, root = _file_system(location.store)
    return files, f"{root.rstrip('/')}/{location.path}".rstrip("/")


def _put_on_disk(written: Iterable[Path], folder: Path) -> None:
    for left in folder.glob(f"{PART}*"):  # of a worker that was killed with this song
        left.unlink(missing_ok=True)
    parts: dict[Path, Path] = {}
    try:
        for file in written:
            part = folder / _part_name(file)
            parts[part] = folder / file.name
            shutil.copyfile(file, part)
        for part, target in parts.items():
            part.replace(target)
    except BaseException:
        for part in parts:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        raise


def _put_by_renaming(written: Iterable[Path], files: Any, folder: str) -> None:
    files.create_dir(folder, recursive=True)
    parts: dict[str, str] = {}
    try:
        for file in written:
            part = f"{folder}/{_part_name(file)}"
            parts[part] = f"{folder}/{file.name}"
            _upload(files, file, part)
        for part, target in parts.items():
            files.move(part, target)
    except BaseException:
        for part in parts:
            with suppress(OSError):
                files.delete_file(part)
        raise


def _part_name(file: Path) -> str:
    return f"{PART}{secrets.token_hex(4)}.{file.name}"


def _upload(files: Any, file: Path, target: str) -> None:
    """Copy a file, or leave none.

    Closing a stream completes an object, even after a failed read.
    """
    try:
        with file.open("rb") as source, files.open_output_stream(target) as stream:
            shutil.copyfileobj(source, stream, 1 << 20)
    except OSError:
        with suppress(OSError):
            files.delete_file(target)
        raise
