"""From a song to its stems, in memory independent of its length."""

from __future__ import annotations

import math
from contextlib import closing
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.audio import first_bad_sample
from onnx_demucs_compiler.runtime.devices import CPU
from onnx_demucs_compiler.runtime.eight_bits import drawback
from onnx_demucs_compiler.runtime.encoding import Encoding
from onnx_demucs_compiler.runtime.fades import Fades, separated
from onnx_demucs_compiler.runtime.health import open_healthy
from onnx_demucs_compiler.runtime.job import Job, Order
from onnx_demucs_compiler.runtime.pipeline import pipeline
from onnx_demucs_compiler.runtime.segments import (
    DEFAULT_OVERLAP,
    OverlapAdd,
    SlidingWindow,
    first_short,
    in_batches,
    plan,
    stride_of,
)
from onnx_demucs_compiler.runtime.shifts import Shifts, begun_earlier
from onnx_demucs_compiler.runtime.songs import Song
from onnx_demucs_compiler.runtime.statistics import TrackStatistics
from onnx_demucs_compiler.runtime.stems import means_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from onnx_demucs_compiler.runtime.audio import Audio
    from onnx_demucs_compiler.runtime.job import Rate, SeparatedSong
    from onnx_demucs_compiler.runtime.pipeline import Outcome
    from onnx_demucs_compiler.runtime.stems import OtherMethod

    Progress = Callable[[int, int], None]
    """Told the samples per channel that are separated, and how many there are."""
    SongProgress = Callable[[Path, int, int], None]
    """Told the same of a song."""


class Separator:
    """Separates audio with one artifact of the compiler.

    The result of a model of demucs equals ``demucs.apply.apply_model(shifts=0, split=True)`` within the
    normalisation of ``demucs.api.Separator``. Of a graph of one length that holds but for the segments that
    its ``differing_segments`` names, of which :meth:`separate_file` warns. Of other networks segments fade
    into each other (:mod:`~.fades`).

    Attributes:
        metadata: what the artifact says of itself.
        health: what computes, and how near it is to the CPU.
        warnings: what the listener should know of this processor and the artifact, a line each.
    """

    def __init__(
        self,
        model: Path | str,
        *,
        threads: int | None = None,
        overlap: float | None = None,
        segment: float | None = None,
        shifts: int = 0,
        seed: int = 0,
        device: str = "cpu",
        runtime: str = "onnxruntime",
    ) -> None:
        """Load an artifact.

        Args:
            model: an artifact of any interface and batch, ``.onnx`` or ``.ort``.
            threads: how many an operator may use; those of :func:`~.cores.usable_cores` when None.
            overlap: the part of each segment that the next one covers too, in [0, 1). When None 0.25, or
                what a track graph was compiled with, or the model's configuration says.
            segment: how long segments are, in seconds, for a graph of open length: the nearest length that it
                takes. That of the metadata when None.
            shifts: passes over each song, whose stems are averaged, as demucs' ``shifts``: each begins up to
                half a second of silence before it. 0 is one pass that begins with the song.
            seed: of the numbers that say when each begins: those that demucs draws after
                ``random.seed(seed)``, and one of them for all models of a bag.
            device: ``auto``, ``cpu``, ``cuda``, ``tensorrt``, ``coreml``, ``directml``, ``webgpu``,
                ``xnnpack``, or the path of a plug-in provider. It is held against the CPU first, which takes
                over where the two disagree; :attr:`health` says so.
            runtime: ``onnxruntime`` or, on the CPU and for ``.onnx`` files, ``openvino``, which is held
                against ONNX Runtime in the same way.

        Raises:
            CompilerError: the file is missing, no ONNX model, or no separator made by this compiler.
            UsageError: the overlap is out of range, or another than a track graph has; or the graph does not
                take segments of that length; or there is no such number of shifts, or the model has none; or
                there is no such device or runtime, it is not installed, or the two exclude each other.
        """
        self._graph, self.health = open_healthy(Path(model), threads, device, runtime)
        self.metadata = self._graph.metadata
        on_cpu = self.health.used == CPU.name
        self.warnings = drawback(self.metadata.precision) if on_cpu else ()
        self._means = means_of(self.metadata)
        self._segment = self.metadata.segment if segment is None else self._segment_of(segment)
        fade_step = self.metadata.fade_step if overlap is None else 0
        self._overlap = 1 - fade_step / self._segment if fade_step else self._overlap_of(overlap)
        self._stride = fade_step or stride_of(self._segment, self._overlap)
        self._shifts = self._shifts_of(shifts, seed)

    def _overlap_of(self, asked: float | None) -> float:
        fixed = self.metadata.overlap
        if asked is None:
            return DEFAULT_OVERLAP if fixed is None else fixed
        if fixed not in (None, asked):
            raise UsageError(
                f"this model takes whole tracks with an overlap of {fixed} built in; leave the overlap out, "
                f"or compile with --overlap {asked}"
            )
        return asked

    def _shifts_of(self, count: int, seed: int) -> Shifts:
        if count and (self._graph.takes_tracks or self.metadata.fade_step):
            kind = "takes whole tracks" if self._graph.takes_tracks else "fades its segments into each other"
            raise UsageError(f"this model {kind}, and has no shifts; leave them out")
        return Shifts(count, seed)

    def _segment_of(self, seconds: float) -> int:
        """The nearest length in samples that the graph takes."""
        metadata = self.metadata
        if not metadata.hop:
            taken = "takes whole tracks" if self._graph.takes_tracks else "has segments of one length"
            raise UsageError(f"this model {taken}; leave the segment out, or compile with --length dynamic")
        shortest = (metadata.shortest - 2 * (metadata.context or 0)) / metadata.sample_rate
        if not shortest <= seconds < math.inf:
            raise UsageError(f"a segment of this model has {shortest:.2g} s at least, and not {seconds:g}")
        return round(seconds * metadata.sample_rate / metadata.hop) * metadata.hop

    def separate(self, mix: Audio, *, progress: Progress | None = None) -> dict[str, Audio]:
        """Separate audio in memory.

        Args:
            mix: float32 ``[C, N]`` with the model's channels, at its sample rate.
            progress: told the samples done and their number after each segment.

        Returns:
            Each source by name, float32 ``[C, N]``.

        Raises:
            CompilerError: ``mix`` has another shape, no samples, or some that are not finite.
        """
        channels = self.metadata.audio_channels
        try:
            mix = np.asarray(mix, np.float32)
        except (TypeError, ValueError) as error:
            raise CompilerError(f"the mix should be numbers [{channels}, samples] ({error})") from error
        if mix.ndim != 2 or mix.shape[0] != channels or mix.shape[1] == 0:
            raise CompilerError(f"the mix should be [{channels}, samples], and is {list(mix.shape)}")
        bad = first_bad_sample(mix)
        if bad is not None:
            raise CompilerError(f"sample {bad} of the mix is not a finite number (NaN or infinity)")
        blocks = self._stream(lambda: [mix], TrackStatistics.of([mix]), progress)
        stems = np.concatenate([stems for _, stems in blocks], axis=-1)
        return dict(zip(self.metadata.sources, stems, strict=True))

    def separate_file(
        self,
        song: Path,
        out_dir: Path,
        *,
        encoding: Encoding | None = None,
        two_stems: str | None = None,
        other_method: OtherMethod = "add",
        downmix: bool = False,
        rate: Rate = "model",
        progress: Progress | None = None,
    ) -> SeparatedSong:
        """Separate a song into files ``OUT_DIR/MODEL/TRACK/STEM.EXT``.

        In memory that does not grow with the song, unless the artifact takes whole tracks.

        The song is decoded to disk, separated from there, and the stems are encoded, with a manifest
        (:mod:`~.manifest`) beside them. Nothing is put in place, and no file that was there is touched,
        before every stem is complete; if anything goes wrong, nothing is left behind.

        Args:
            song: what libsndfile reads (wav, flac, mp3, ogg, …), or with the extra ``media`` FFmpeg's
                libraries (m4a, mkv, …), at any rate, mono or with at least the
                model's channels.
            out_dir: made where it is missing; its parent is not.
            encoding: 16-bit wav, rescaled where it would clip, when None. Tags and cover of the song go
                with the stems, where ``media`` is installed.
            two_stems: a source to be written with its complement only.
            other_method: what the complement is; see :func:`~.stems.mixdowns`.
            downmix: mix surround channels to the model's, as :func:`~.channels.downmix_matrix` says, in place
                of taking the first.
            rate: of the stems: the ``model``'s, or the song's own (``source``), at which they are as long as
                it is.
            progress: told the samples done and their number after each segment.

        Raises:
            CompilerError: the song is no usable audio, or the output cannot be written.
            UsageError: the model has no source ``two_stems``, or not all that would be added up; or no folder
                can be called what the song is, or two stems' files are one, on some system.
            OSError: reading or writing failed, as on a full disk.
        """
        order = self.order(Path(out_dir), encoding, two_stems, other_method, downmix, rate)
        with closing(Job(Song(Path(song)), order, self.metadata)) as job:
            job.decode()
            self._separate_job(job, progress)
            return job.write()

    def separate_files(
        self,
        songs: Iterable[Song],
        out_dir: Path,
        *,
        encoding: Encoding | None = None,
        two_stems: str | None = None,
        other_method: OtherMethod = "add",
        downmix: bool = False,
        rate: Rate = "model",
        resume: bool = False,
        progress: SongProgress | None = None,
    ) -> Generator[Outcome]:
        """Separate songs into files ``OUT_DIR/MODEL/TRACK/STEM.EXT``.

        While one is separated, the next is decoded and the one before encoded, in threads of their own. Three
        songs are on disk as samples at most, and in memory a block of each.

        Args:
            songs: see :meth:`separate_file` for what each may be.
            out_dir: made where it is missing; its parent is not.
            encoding: 16-bit wav, rescaled where it would clip, when None.
            two_stems: a source to be written with its complement only.
            other_method: what the complement is; see :func:`~.stems.mixdowns`.
            downmix: mix surround channels to the model's.
            rate: of the stems: the ``model``'s, or each song's own (``source``).
            resume: pass over a song whose stems an earlier run completed with the same settings.
            progress: told the song, its samples done and their number after each segment.

        Yields:
            What became of each song, in their order: a song that fails does not stop the others.

        Raises:
            UsageError: no song can have what is asked for; see :meth:`separate_file`.
            OSError: the disk is full.
        """
        order = self.order(Path(out_dir), encoding, two_stems, other_method, downmix, rate, resume)
        order.stems(self.metadata)

        def separate(job: Job) -> None:
            path = job.song.path
            self._separate_job(job, None if progress is None else partial(progress, path))

        yield from pipeline(songs, lambda song: Job(song, order, self.metadata), separate)

    def order(
        self,
        out_dir: Path,
        encoding: Encoding | None,
        two_stems: str | None,
        other_method: OtherMethod,
        downmix: bool,
        rate: Rate,
        resume: bool = False,
    ) -> Order:
        """The wishes for songs as jobs take them, with the separator's overlap."""
        encoding = encoding or Encoding()
        return Order(
            out_dir,
            encoding,
            two_stems,
            other_method,
            downmix,
            self._overlap,
            self._segment,
            shifts=self._shifts,
            rate=rate,
            resume=resume,
        )

    def _separate_job(self, job: Job, progress: Progress | None) -> None:
        job.separate(partial(self._stream, progress=progress))
        job.warnings += self._differing(job.song.path, job.statistics.length)

    def _differing(self, song: Path, length: int) -> list[str]:
        """A warning of the part that demucs computes otherwise, if any."""
        if self.metadata.context is not None:
            return []
        start = first_short(length, self._segment, self._stride)
        short = f"from {start / self.metadata.sample_rate:.1f} s to the end" if start else "throughout"
        kind = self.metadata.differing_segments
        if kind == "short" and start < length:
            where, given = short, "shorter segments there"
        elif kind == "all":
            where = f"throughout, and most {short}" if 0 < start < length else "throughout"
            given = "more audio around each segment, and shorter ones at the end"
        else:
            return []
        return [f"{song}: the stems differ from those of demucs {where}; it gives this model {given}"]

    def _stream(
        self, read: Callable[[], Iterable[Audio]], statistics: TrackStatistics, progress: Progress | None
    ) -> Iterator[tuple[Audio, Audio]]:
        """Yield the mix ``[C, n]`` and its sources ``[S, C, n]``, part by part."""
        done = 0
        for mix, stems in self._parts(read, statistics):
            yield mix, stems
            done += mix.shape[1]
            if progress is not None:
                progress(done, statistics.length)

    def _parts(
        self, read: Callable[[], Iterable[Audio]], statistics: TrackStatistics
    ) -> Iterator[tuple[Audio, Audio]]:
        if self._graph.takes_tracks:
            track = np.concatenate(list(read()), axis=1)
            yield track, self._graph.run(track[None])[0]
        elif self.metadata.fade_step:
            fades = Fades(statistics.length, self._segment, self._stride)
            yield from separated(read(), fades, self._graph.run, self._graph.batch)
        else:
            separate = self._shifted if self._shifts.count else self._normalised
            for mix, estimates in separate(read, statistics):
                yield mix, statistics.restore(estimates, self._means)

    def _shifted(
        self, read: Callable[[], Iterable[Audio]], statistics: TrackStatistics
    ) -> Iterator[tuple[Audio, Audio]]:
        """As :meth:`_normalised`, on average over the passes, which go side by side."""
        song, passes = SlidingWindow(read()), []
        silences = self._shifts.silences(self.metadata.sample_rate)
        for silence in silences:
            estimates = (each for _, each in self._normalised(read, statistics, silence))
            passes.append(SlidingWindow(estimates))
            passes[-1].read(0, silence)
        for start in range(0, statistics.length, self._stride):
            stop = min(start + self._stride, statistics.length)
            found = [
                one.read(start + silence, stop + silence)
                for one, silence in zip(passes, silences, strict=True)
            ]
            mean: Audio = reduce(np.add, found) / np.float32(len(found))
            yield song.read(start, stop), mean

    def _normalised(
        self, read: Callable[[], Iterable[Audio]], statistics: TrackStatistics, silence: int = 0
    ) -> Iterator[tuple[Audio, Audio]]:
        """Separate a song, begun with silence, at the model's level.

        Yields:
            The mix ``[C, n]`` as it is and its sources ``[S, C, n]``, part by part.
        """
        metadata = self.metadata
        window = SlidingWindow(begun_earlier(read(), silence, statistics.mean))
        estimates = OverlapAdd(len(metadata.sources), metadata.audio_channels, self._segment)
        segments = plan(statistics.length + silence, self._segment, self._stride, metadata.context)
        for group in in_batches(segments, self._graph.batch):
            spans = [window.read(*segment.window) for segment in group]
            mixes = [
                segment.pad(statistics.normalise(span)) for segment, span in zip(group, spans, strict=True)
            ]
            for segment, span, estimate in zip(group, spans, self._graph.run(np.stack(mixes)), strict=True):
                estimates.add(segment.trim(estimate))
                first = segment.start - segment.window[0]
                mix = span[:, first : first + segment.settled]
                yield mix, estimates.settle(segment.settled)
