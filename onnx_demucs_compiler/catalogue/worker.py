"""A worker: one session, and one song after another."""

from __future__ import annotations

import logging
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.catalogue.outcomes import CatalogueSong, SongOutcome
from onnx_demucs_compiler.catalogue.scratch import remove_left, scratch
from onnx_demucs_compiler.errors import CompilerError, first_line, in_words
from onnx_demucs_compiler.runtime import Encoding, Separator, Song
from onnx_demucs_compiler.runtime.devices import CPU
from onnx_demucs_compiler.runtime.manifest import MANIFEST, Manifest
from onnx_demucs_compiler.runtime.openvino import ONNXRUNTIME
from onnx_demucs_compiler.runtime.output import check_targets, safe_name
from onnx_demucs_compiler.runtime.pipeline import FULL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onnx_demucs_compiler.catalogue.locations import Location
    from onnx_demucs_compiler.catalogue.model_files import ModelFiles
    from onnx_demucs_compiler.runtime.job import Order, Rate, SeparatedSong
    from onnx_demucs_compiler.runtime.stems import OtherMethod

LOG = logging.getLogger(__name__)

ATTEMPTS = 4
"""Times that a song is begun, of which all but the last cost the worker its life."""

HOLD_SECONDS = 10.0
"""Pause of a worker whose own disk is full: it would fail faster than others work, and get all songs."""


@dataclass(frozen=True)
class Wishes:
    """All that holds for every song; see :meth:`Separator.separate_files` and :class:`Separator`."""

    encoding: Encoding
    device: str = "auto"
    overlap: float | None = None
    segment: float | None = None
    two_stems: str | None = None
    other_method: OtherMethod = "add"
    downmix: bool = False
    rate: Rate = "model"
    resume: bool = False
    runtime: str = ONNXRUNTIME
    threads: int = 1
    shifts: int = 0
    seed: int = 0

    def separator(self, model: Path) -> Separator:
        """Open a model.

        On ``auto`` the CPU computes: Ray hides the GPUs that nobody asked it for.

        Raises:
            CompilerError: see :class:`Separator`.
        """
        device = CPU.name if self.device == "auto" else self.device
        return Separator(
            model,
            threads=self.threads,
            overlap=self.overlap,
            segment=self.segment,
            shifts=self.shifts,
            seed=self.seed,
            device=device,
            runtime=self.runtime,
        )

    def order(self, separator: Separator, out: Path) -> Order:
        """The wishes as a job takes them, for stems in ``out``."""
        return separator.order(out, self.encoding, self.two_stems, self.other_method, self.downmix, self.rate)


class Worker:
    """Separates songs of a catalogue, in an actor of Ray Data."""

    def __init__(
        self,
        model: ModelFiles,
        contents: Callable[[], Mapping[str, bytes]],
        begin: Callable[[str], int],
        out: Location,
        wishes: Wishes,
        run: str,
        version: str,
    ) -> None:
        """Open the model; where that fails, the first song tells.

        Args:
            model: see :class:`~.model_files.ModelFiles`.
            contents: fetches its bytes.
            begin: counts how often the song of a place was begun.
            out: where the stems go.
            wishes: for every song.
            run: names the run.
            version: of the command that asks.
        """
        self._begin, self._out, self._wishes, self._run = begin, out, wishes, run
        self._machine = socket.gethostname()
        self._unfit = ""
        remove_left()
        try:
            if version != __version__:
                raise CompilerError(f"onnx-demucs-compiler is {__version__} there, and {version} here")
            self._separator = wishes.separator(model.place(contents))
        except (CompilerError, OSError) as error:
            self._unfit = f"the machine {self._machine} cannot work: {error}"

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Separate the song of a batch of one."""
        song = CatalogueSong.from_json(batch["song"][0])
        outcome = replace(self.separate(song), place=song.place, machine=self._machine)
        return {"outcome": [outcome.to_json()]}

    def separate(self, song: CatalogueSong) -> SongOutcome:
        """Separate a song; every failure is an outcome."""
        if self._unfit:
            return SongOutcome(song.shown, error=self._unfit, stops=True)
        if self._begin(song.place) > ATTEMPTS:
            reason = f"its worker died {ATTEMPTS} times (killed, crashed, or out of memory)"
            return SongOutcome(song.shown, error=f"{song.shown}: {reason}")
        try:
            with scratch(self._run) as folder:
                return _Task(song, folder, self._separator, self._out, self._wishes).run()
        except OutOfSpaceError as error:
            return SongOutcome(song.shown, error=str(error), stops=True)
        except (CompilerError, OSError) as error:
            if _is_full(error):
                time.sleep(HOLD_SECONDS)
                told = f"{song.shown}: the disk of {self._machine} is full ({tempfile.gettempdir()})"
                return SongOutcome(song.shown, error=told, full=True)
            told = str(error) if isinstance(error, CompilerError) else f"{song.shown}: {in_words(error)}"
            return SongOutcome(song.shown, error=told)
        except MemoryError:
            return SongOutcome(song.shown, error=f"{song.shown}: {self._machine} has not enough memory")
        except Exception as error:
            LOG.exception("%s failed", song.shown)
            return SongOutcome(song.shown, error=f"{song.shown}: {type(error).__name__}: {first_line(error)}")


class OutOfSpaceError(CompilerError):
    """There is no room for stems where all of them go."""


class _Task:
    """A song on its way through a worker."""

    def __init__(
        self, song: CatalogueSong, folder: Path, separator: Separator, out: Location, wishes: Wishes
    ) -> None:
        """Begin.

        Args:
            song: the song.
            folder: for what is temporary.
            separator: the worker's.
            out: where the stems go.
            wishes: for every song.
        """
        self._song, self._separator, self._out, self._wishes = song, separator, out, wishes
        self._folder = folder
        self._path = song.location.local if song.location.is_local else folder / "song" / song.location.name
        self._written = folder / "stems"
        below = safe_name(separator.metadata.model) / Song(self._path, PurePath(song.place)).folder
        order = wishes.order(separator, self._written)
        self._settings = order.settings(separator.metadata)
        self._files = order.files(self._written / below, order.stems(separator.metadata))
        self._target = out / below.as_posix()

    def run(self) -> SongOutcome:
        """Separate the song.

        Raises:
            OutOfSpaceError: there is no room for the stems.
            CompilerError: the song fails.
            OSError: this machine's disk is full.
        """
        began = time.monotonic()
        if not self._song.location.is_local:
            self._fetch()
        if self._wishes.resume and (manifest := self._finished()):
            return SongOutcome(
                self._song.shown,
                files=self._below(),
                audio_seconds=manifest.seconds,
                skipped=True,
            )
        if self._target.is_local:
            places = [self._target.local / name for name in (*self._names().values(), MANIFEST)]
            check_targets(places, self._path)
        result = self._separate()
        self._put()
        health = self._separator.health
        return SongOutcome(
            self._song.shown,
            files=self._below(),
            audio_seconds=result.audio_seconds,
            processing_seconds=time.monotonic() - began,
            warnings=(*self._separator.warnings, *map(self._in_words, result.warnings)),
            device=asdict(health) if health.line else {},
        )

    def _fetch(self) -> None:
        self._path.parent.mkdir()
        try:
            self._song.location.fetch(self._path)
        except FileNotFoundError as error:
            raise CompilerError(f"{self._song.shown}: no such file") from error
        except OSError as error:
            raise CompilerError(f"{self._song.shown}: cannot be read ({in_words(error)})") from error

    def _finished(self) -> Manifest | None:
        """The manifest of an earlier run whose stems are to be kept.

        In a store, where objects are whole, their sizes are enough.
        """
        manifest = self._earlier_manifest()
        if manifest is None:
            return None
        if self._target.is_local:
            files = {stem: self._target.local / name for stem, name in self._names().items()}
            complete = manifest.describes(self._path, self._settings, files)
        else:
            complete = (
                manifest.promises(self._settings, self._names())
                and all((self._target / one.name).size() == one.size for one in manifest.stems.values())
                and manifest.song.matches(self._path)
            )
        return manifest if complete else None

    def _earlier_manifest(self) -> Manifest | None:
        if self._target.is_local:
            return Manifest.read(self._target.local / MANIFEST)
        fetched = self._folder / MANIFEST
        try:
            (self._target / MANIFEST).fetch(fetched)
        except FileNotFoundError:
            return None
        return Manifest.read(fetched)

    def _separate(self) -> SeparatedSong:
        wishes = self._wishes
        [outcome] = self._separator.separate_files(
            [Song(self._path, PurePath(self._song.place))],
            self._written,
            encoding=wishes.encoding,
            two_stems=wishes.two_stems,
            other_method=wishes.other_method,
            downmix=wishes.downmix,
            rate=wishes.rate,
        )
        if outcome.error:
            raise CompilerError(self._in_words(str(outcome.error))) from outcome.error
        assert outcome.result is not None
        return outcome.result

    def _put(self) -> None:
        """Put the stems in place, and the manifest last."""
        files = [*self._files.values()]
        files.append(files[0].with_name(MANIFEST))
        try:
            if self._target.is_local:
                _make_folders(self._out.local, self._target.local)
            self._target.put(files)
        except OSError as error:
            if self._target.is_local:
                with suppress(OSError):
                    self._target.local.rmdir()
            if error.errno in FULL:
                raise OutOfSpaceError(f"the disk is full: {self._target}") from None
            reason = f"the stems cannot be written to {self._target} ({in_words(error)})"
            raise CompilerError(f"{self._song.shown}: {reason}") from error

    def _names(self) -> dict[str, str]:
        return {stem: file.name for stem, file in self._files.items()}

    def _below(self) -> dict[str, str]:
        """The stems' files, by name, as paths below where all stems go."""
        return {stem: file.relative_to(self._written).as_posix() for stem, file in self._files.items()}

    def _in_words(self, text: str) -> str:
        """A message with the song as the user knows it."""
        return text.replace(str(self._path), self._song.shown)


def _make_folders(out: Path, folder: Path) -> None:
    """Make what is missing from ``out`` down to ``folder``.

    Other workers do so at the same time.
    """
    for path in reversed([folder, *folder.parents]):
        if path.is_relative_to(out):
            path.mkdir(exist_ok=True)


def _is_full(error: BaseException | None) -> bool:
    """True if a full disk is among an error and its causes."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__
    return False
