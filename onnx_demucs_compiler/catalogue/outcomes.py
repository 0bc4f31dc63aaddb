"""Songs of a catalogue and their outcomes, as they travel between machines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.catalogue.locations import Location

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


class _Row:
    """A value that is one text in a dataset.

    There Arrow cannot mistake its types.
    """

    def to_json(self) -> str:
        """The text."""
        return json.dumps(asdict(self))  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The value of a text."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class CatalogueSong(_Row):
    """A song, and the folder of its stems.

    Attributes:
        path: within its store; of this machine an absolute one.
        store: see :class:`~.locations.Location`.
        place: the path that its folder is named after.
        shown: as the user knows it.
        size: bytes of the file; 0 where that is not known.
    """

    path: str
    store: str
    place: str
    shown: str
    size: int = 0

    @property
    def location(self) -> Location:
        """The file."""
        return Location(self.path, self.store)


@dataclass(frozen=True)
class SongOutcome(_Row):
    """The end of a song: stems, or an error.

    Attributes:
        song: as the user knows it.
        place: the path that the folder of its stems is named after, which no two songs share.
        files: the stems written, by name, as paths or URIs; from a worker as paths below where all go.
        audio_seconds: how long the song is.
        processing_seconds: how long it took, reading and writing included.
        warnings: what the listener should know of the stems or the song, a line each.
        skipped: whether an earlier run had written the stems.
        error: why there are no stems; empty where there are.
        stops: whether no other song would fare better.
        full: whether it failed because the worker's own disk is full.
        device: what computed on that machine, if it was not the CPU: see :class:`~.runtime.health.Health`.
        machine: the name of the machine.
    """

    song: str
    place: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    audio_seconds: float = 0.0
    processing_seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    skipped: bool = False
    error: str = ""
    stops: bool = False
    full: bool = False
    device: Mapping[str, Any] = field(default_factory=dict)
    machine: str = ""
