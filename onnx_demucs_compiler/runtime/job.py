"""A song's way to its stems: decode, separate, write."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.audio import Duration, check_song, read_blocks
from onnx_demucs_compiler.runtime.encoding import Encoding, RawAudio, RawStem
from onnx_demucs_compiler.runtime.manifest import MANIFEST, FileRecord, Manifest
from onnx_demucs_compiler.runtime.output import (
    OutputFolders,
    check_targets,
    publish,
    safe_name,
    stem_files,
)
from onnx_demucs_compiler.runtime.resampling import Resampler
from onnx_demucs_compiler.runtime.shifts import NONE, Shifts
from onnx_demucs_compiler.runtime.sink import Sink
from onnx_demucs_compiler.runtime.statistics import TrackStatistics
from onnx_demucs_compiler.runtime.stem_mp4 import check_stems, encode_stems
from onnx_demucs_compiler.runtime.stems import missing_sources, mixdowns
from onnx_demucs_compiler.runtime.tags import read_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
    from onnx_demucs_compiler.runtime.audio import Audio
    from onnx_demucs_compiler.runtime.songs import Song
    from onnx_demucs_compiler.runtime.stems import Mixdown, OtherMethod

    Rate = Literal["model", "source"]

    Parts = Iterable[tuple[Audio, Audio]]
    """Parts of a mix ``[C, n]``, each with its sources ``[S, C, n]``."""


@dataclass(frozen=True)
class SeparatedSong:
    """The result for a song.

    Attributes:
        files: the stems written, by name; of ``stem.mp4`` the one file, as ``stems``.
        audio_seconds: how long the song is.
        processing_seconds: how long it took.
        warnings: what the listener should know of the stems or the song, a line each.
        skipped: whether an earlier run had written the stems.
    """

    files: dict[str, Path]
    audio_seconds: float
    processing_seconds: float
    warnings: tuple[str, ...] = ()
    skipped: bool = False


@dataclass(frozen=True)
class Order:
    """The wishes that hold for every song.

    Attributes:
        out_dir: where the stems go.
        encoding: the form in which they are written.
        two_stems: a source to be written with its complement only.
        other_method: what the complement is; see :func:`~.stems.mixdowns`.
        downmix: mix surround channels to the model's; see :func:`~.channels.downmix_matrix`.
        overlap: of the segments.
        segment: their length in samples.
        shifts: the passes that are averaged.
        rate: of the stems: the ``model``'s, or their song's (``source``).
        resume: leave songs alone whose stems are complete.
        folders: those of all its songs.
    """

    out_dir: Path
    encoding: Encoding
    two_stems: str | None
    other_method: OtherMethod
    downmix: bool
    overlap: float
    segment: int
    shifts: Shifts = NONE
    rate: Rate = "model"
    resume: bool = False
    folders: OutputFolders = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Share the folders among the jobs."""
        object.__setattr__(self, "folders", OutputFolders(self.out_dir))

    def stems(self, metadata: ArtifactMetadata) -> dict[str, Mixdown]:
        """The stems to write, by name.

        Raises:
            UsageError: the model has no source ``two_stems``, or not all that would be added up; or two
                stems' files are one on some system.
        """
        if self.encoding.format == "stem.mp4":
            check_stems(metadata.sources, self.two_stems)
            if self.rate == "source":
                raise UsageError("stem.mp4 has the model's sample rate; leave out --rate source")
        stems = mixdowns(metadata.sources, self.two_stems, self.other_method, missing_sources(metadata))
        stem_files(self.out_dir, stems, self.encoding.format)
        return stems

    def files(self, folder: Path, stems: Iterable[str]) -> dict[str, Path]:
        """The files to write, by the stems' names.

        A file of all is called ``stems``.
        """
        if self.encoding.format == "stem.mp4":
            return {"stems": folder / f"{folder.name.removesuffix('.stem')}.stem.mp4"}
        return stem_files(folder, stems, self.encoding.format)

    def _shifts(self) -> dict[str, int]:
        """Those of a manifest; nothing without any, as in earlier ones."""
        return {"shifts": self.shifts.count, "seed": self.shifts.seed} if self.shifts.count else {}

    def settings(self, metadata: ArtifactMetadata) -> dict[str, Any]:
        """All that stems depend on besides the song, for the manifest."""
        return {
            "model": metadata.model,
            "weights": metadata.weights,
            "digest": metadata.digest,
            "overlap": self.overlap,
            "segment": self.segment,
            **self._shifts(),
            "downmix": self.downmix,
            "rate": self.rate,
            "other_method": self.other_method if self.two_stems else None,
            **asdict(self.encoding),
        }


class Job:
    """A song's three steps, in this order and each in any thread.

    Nothing is put in place, and no file that was there is touched, before every stem is complete;
    :meth:`close` leaves nothing else behind.
    """

    def __init__(self, song: Song, order: Order, metadata: ArtifactMetadata) -> None:
        """Begin with nothing.

        Raises:
            UsageError: see :meth:`Order.stems` and :attr:`Song.folder`.
        """
        self.song = song
        self._order = order
        self._metadata = metadata
        self._stems = order.stems(metadata)
        self._folder = order.out_dir / safe_name(metadata.model) / song.folder
        self._files = order.files(self._folder, self._stems)
        self._kept = ExitStack()
        self._cancelled = False
        self._seconds = 0.0
        self.warnings: list[str] = []
        """Grow with every step."""

    @cached_property
    def finished(self) -> SeparatedSong | None:
        """The result of an earlier run, if it is to be kept."""
        manifest = Manifest.read(self._folder / MANIFEST) if self._order.resume else None
        if manifest is None or not manifest.describes(
            self.song.path, self._order.settings(self._metadata), self._files
        ):
            return None
        return SeparatedSong(self._files, manifest.seconds, 0.0, skipped=True)

    def decode(self) -> None:
        """Read the song, at the model's rate and with its channels.

        Raises:
            CompilerError: the song is no usable audio, the output cannot be written, or its format has no
                such rate.
            UsageError: its channels are to be mixed, and nobody knows how.
            OSError: reading or writing failed, as on a full disk.
        """
        began = monotonic()
        path, metadata, order = self.song.path, self._metadata, self._order
        self.warnings += check_song(path, metadata.audio_channels, downmix=order.downmix)
        check_targets([*self._files.values(), self._folder / MANIFEST], path)
        self._scratch = self._kept.enter_context(order.folders.scratch(self._folder))
        self._mix = RawAudio(self._scratch / ".song.f32", metadata.audio_channels)
        duration = Duration()
        blocks = read_blocks(
            path, metadata.sample_rate, metadata.audio_channels, downmix=order.downmix, duration=duration
        )
        self.statistics = TrackStatistics.of(self._keep(blocks))
        if self.statistics.length == 0:
            raise CompilerError(f"{path}: the file holds no audio (0 seconds)")
        self._rate, self._length = metadata.sample_rate, self.statistics.length
        if order.rate == "source":
            self._rate, self._length = duration.rate, duration.samples
        if order.encoding.codec:
            order.encoding.codec.check(self._rate, metadata.audio_channels)
        self._record, self._tags = FileRecord.of(path), read_tags(path)
        self._seconds += monotonic() - began

    def separate(self, stream: Callable[[Callable[[], Iterable[Audio]], TrackStatistics], Parts]) -> None:
        """Make the stems of what was decoded.

        Args:
            stream: makes parts of the mix with their sources, of what reads it in blocks.

        Raises:
            CompilerError: the model fails, or makes samples that are not finite numbers.
            OSError: writing failed, as on a full disk.
        """
        began = monotonic()
        channels = self._metadata.audio_channels
        self._raw = {
            name: RawStem(self._scratch / f"{safe_name(name)}.f32", channels) for name in self._stems
        }
        resamplers = {
            name: Resampler(self._metadata.sample_rate, self._rate, channels, self._length)
            for name in self._stems
        }
        for mix, estimates in stream(self._mix.blocks, self.statistics):
            for name, mixdown in self._stems.items():
                self._raw[name].append(resamplers[name].push(mixdown(mix, estimates)))
        for name, resampler in resamplers.items():
            self._raw[name].append(resampler.flush())
        self._seconds += monotonic() - began

    def write(self) -> SeparatedSong:
        """Encode the stems and put them in their folder, with a manifest.

        Raises:
            OSError: writing failed, as on a full disk.
        """
        began = monotonic()
        written = {name: self._scratch / file.name for name, file in self._files.items()}
        if self._order.encoding.format == "stem.mp4":
            self._write_stem_file(written["stems"])
        else:
            for name, file in written.items():
                self._go_on()
                self._raw[name].encode(file, self._rate, self._order.encoding, self._tags)
        seconds = self.statistics.length / self._metadata.sample_rate
        self._manifest(written, seconds).write(self._scratch / MANIFEST)
        publish([*written.values(), self._scratch / MANIFEST], self._folder)
        self._seconds += monotonic() - began
        return SeparatedSong(self._files, seconds, self._seconds, tuple(self.warnings))

    def close(self) -> None:
        """Remove what is temporary."""
        self._kept.close()

    def cancel(self) -> None:
        """Let a step under way in another thread end in an error."""
        self._cancelled = True

    def _write_stem_file(self, file: Path) -> None:
        stems = list(self._raw.values())
        with Sink(file, "w+b") as sink:
            encode_stems(
                sink, self._mix, stems, list(self._raw), self._rate, self._order.encoding, self._tags
            )
            sink.check()

    def _manifest(self, written: Mapping[str, Path], seconds: float) -> Manifest:
        return Manifest(
            self._record,
            self._order.settings(self._metadata),
            seconds,
            {name: FileRecord.of(file) for name, file in written.items()},
        )

    def _keep(self, blocks: Iterable[Audio]) -> Iterator[Audio]:
        for block in blocks:
            self._go_on()
            self._mix.append(block)
            yield block

    def _go_on(self) -> None:
        if self._cancelled:
            raise CompilerError(f"{self.song.path}: given up")
