"""The list of a song's stems that lies beside them.

By sizes, checksums and settings a later run tells that they are complete, and of the same song and model.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MANIFEST = "stems.json"
"""Its name."""


@dataclass(frozen=True)
class FileRecord:
    """A file's name, size in bytes and sha256 (hexadecimal)."""

    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        """Read a file.

        Raises:
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.name, path.stat().st_size, digest)

    def matches(self, path: Path) -> bool:
        """True if the file has this size and content, whatever its name."""
        try:
            return path.stat().st_size == self.size and FileRecord.of(path).sha256 == self.sha256
        except OSError:
            return False


@dataclass(frozen=True)
class Manifest:
    """Stems, and all that they depend on.

    Attributes:
        song: the file that was separated.
        settings: all else that they depend on.
        seconds: of audio.
        stems: the files, by the stems' names.
    """

    song: FileRecord
    settings: Mapping[str, Any]
    seconds: float
    stems: Mapping[str, FileRecord]

    def write(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            OSError: the disk is full.
        """
        path.write_text(f"{json.dumps(asdict(self), indent=2)}\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Manifest | None:
        """Read it; None where there is none, or where it is damaged."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            stems = {str(name): FileRecord(**record) for name, record in found["stems"].items()}
            return cls(FileRecord(**found["song"]), found["settings"], float(found["seconds"]), stems)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def describes(self, song: Path, settings: Mapping[str, Any], files: Mapping[str, Path]) -> bool:
        """True if ``files`` are complete, and what ``song`` would give.

        Args:
            song: the file to separate.
            settings: for the stems.
            files: where each stem would be written.
        """
        return (
            self.promises(settings, {name: file.name for name, file in files.items()})
            and all(self.stems[name].matches(file) for name, file in files.items())
            and self.song.matches(song)
        )

    def promises(self, settings: Mapping[str, Any], names: Mapping[str, str]) -> bool:
        """True if it is of these files, under these settings."""
        return json.dumps(settings, sort_keys=True) == json.dumps(
            self.settings, sort_keys=True
        ) and names == {name: record.name for name, record in self.stems.items()}
