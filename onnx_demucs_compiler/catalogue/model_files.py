"""The model, brought to every machine."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime.user_cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onnx_demucs_compiler.catalogue.locations import Location

FOLDER = "models"


@dataclass(frozen=True)
class ModelFiles:
    """The files of an artifact: the model, and weights that lie apart.

    Attributes:
        digests: sha256 (hexadecimal) by file name.
    """

    digests: Mapping[str, str]

    def place(self, contents: Callable[[], Mapping[str, bytes]]) -> Path:
        """The model as a file of this machine, in the user's cache.

        It is written there once, whichever worker is first.

        Args:
            contents: asked for the bytes of the files if they are not there.

        Raises:
            OSError: the disk is full.
        """
        try:
            return self._placed(cache_folder() / FOLDER, contents)
        except PermissionError:
            return self._placed(Path(tempfile.gettempdir(), "onnx-demucs", FOLDER), contents)

    def _placed(self, cache: Path, contents: Callable[[], Mapping[str, bytes]]) -> Path:
        digest = hashlib.sha256(json.dumps(dict(self.digests)).encode()).hexdigest()
        folder = cache / digest
        if not self._are_in(folder):
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".", dir=cache) as name:
                whole = Path(name, "whole")
                whole.mkdir()
                for file, data in contents().items():
                    (whole / file).write_bytes(data)
                _take_place(whole, folder, self._are_in)
        return folder / next(iter(self.digests))

    def _are_in(self, folder: Path) -> bool:
        """True if all files are there, and undamaged."""
        return all(_digest_of(folder / name) == digest for name, digest in self.digests.items())


def read_model(model: Location) -> tuple[ModelFiles, dict[str, bytes]]:
    """Read an artifact, and the weights beside it.

    Raises:
        CompilerError: there is no such file, or it cannot be read.
    """
    try:
        contents = {model.name: model.read()}
        weights = f"{model.name}.data"
        beside = _sibling(model, weights)
        if beside.size() is not None:
            contents[weights] = beside.read()
    except FileNotFoundError as error:
        raise CompilerError(f"{model}: no such file") from error
    except OSError as error:
        raise CompilerError(f"{model}: cannot be read ({error.strerror or error})") from error
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    return ModelFiles(digests), contents


def _sibling(location: Location, name: str) -> Location:
    return type(location)(location.path.removesuffix(location.name) + name, location.store)


def _digest_of(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None


def _take_place(whole: Path, folder: Path, is_good: Callable[[Path], bool]) -> None:
    """Rename a folder, unless another worker was first.

    A damaged one gives way.
    """
    if folder.exists() and not is_good(folder):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        whole.rename(folder)
    except OSError:
        if not is_good(folder):
            raise
