"""Separation of a catalogue on the machines of a Ray cluster."""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.catalogue.cluster import GPUS, Cluster, Room, check_installed, connected
from onnx_demucs_compiler.catalogue.model_files import read_model
from onnx_demucs_compiler.catalogue.outcomes import CatalogueSong, SongOutcome
from onnx_demucs_compiler.catalogue.scratch import remove_left
from onnx_demucs_compiler.catalogue.worker import Worker
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime import Song
from onnx_demucs_compiler.runtime.devices import CPU
from onnx_demucs_compiler.runtime.openvino import ONNXRUNTIME, check_runtime
from onnx_demucs_compiler.runtime.output import DistinctNames

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from onnx_demucs_compiler.catalogue.locations import Location
    from onnx_demucs_compiler.catalogue.model_files import ModelFiles
    from onnx_demucs_compiler.catalogue.worker import Wishes

END_SECONDS = 5.0
"""Patience with workers of this machine that are told to end."""


def separate_catalogue(
    model: Location, songs: Sequence[CatalogueSong], out: Location, wishes: Wishes, cluster: Cluster
) -> Generator[SongOutcome]:
    """Separate songs on a cluster into files ``OUT/MODEL/TRACK/STEM.EXT``.

    They are the same as on one machine. A song whose worker dies is begun again by another,
    :data:`~.worker.ATTEMPTS` times in all. Its stems appear once all are complete, and their manifest last,
    so that a song done twice does no harm.

    Args:
        model: an artifact, which is brought to every machine; only this one reads it.
        songs: from :func:`~.songs.find_catalogue`; every worker reads them where they are.
        out: where the stems go. A folder on a disk is made where it is missing; its parent is not.
        wishes: for every song.
        cluster: where the workers are.

    Yields:
        What became of each song, as it ends: in no order.

    Raises:
        CompilerError: the model is none, Ray is missing or cannot be reached, a machine has no or another
            version of this package, or a disk is full that all of them share.
        UsageError: no song can have what is asked for, or no machine has room for a worker.
    """
    check_installed()
    files, contents = read_model(model)
    _check_wishes(model, files, contents, wishes)
    if out.is_local and not out.local.absolute().parent.is_dir():
        raise CompilerError(f"cannot write to the output folder {out}: the folder above it does not exist")
    distinct, refused = _distinct(songs)
    yield from refused
    if not distinct:
        return
    run = secrets.token_hex(4)
    try:
        with connected(cluster, wishes.device) as room:
            worker = (out.absolute(), replace(wishes, threads=room.threads), run, __version__)
            with closing(_outcomes(distinct, room, files, contents, worker)) as outcomes:
                for outcome in outcomes:
                    if outcome.stops or (outcome.full and cluster.address is None):
                        raise CompilerError(outcome.error)
                    files_there = {stem: str(out / below) for stem, below in outcome.files.items()}
                    yield replace(outcome, files=files_there)
    finally:
        if cluster.address is None:
            remove_left(run, END_SECONDS)


def _check_wishes(model: Location, files: ModelFiles, contents: Mapping[str, bytes], wishes: Wishes) -> None:
    """Fail before any song is begun.

    On the CPU, in ONNX Runtime: a GPU or OpenVINO may be on other machines only.
    """
    check_runtime(wishes.runtime, wishes.device, str(model), contents[model.name])
    here = replace(wishes, threads=1, device=CPU.name, runtime=ONNXRUNTIME)
    separator = here.separator(files.place(lambda: contents))
    here.order(separator, Path()).stems(separator.metadata)


def _distinct(songs: Iterable[CatalogueSong]) -> tuple[list[CatalogueSong], list[SongOutcome]]:
    """The songs with folders of their own, and errors for the others.

    Largest files first: the last to end is a short one, and the other workers have not long to wait.
    """
    names = DistinctNames("rename one, or give it an --out of its own")
    distinct, refused = [], []
    for song in songs:
        try:
            names.add(song.shown, str(Song(Path(song.shown), PurePath(song.place)).folder))
            distinct.append(song)
        except UsageError as error:
            refused.append(SongOutcome(song.shown, song.place, error=str(error)))
    return sorted(distinct, key=lambda song: -song.size), refused


def _outcomes(
    songs: Sequence[CatalogueSong],
    room: Room,
    files: ModelFiles,
    contents: Mapping[str, bytes],
    worker: tuple[Location, Wishes, str, str],
) -> Generator[SongOutcome]:
    """Run the songs through the workers.

    ``worker`` is what each is made with besides the model.
    """
    import ray
    from ray.exceptions import RayError

    stored = ray.put(contents)
    attempts = ray.remote(num_cpus=0, max_restarts=-1)(_Attempts).remote()

    def begin(place: str) -> int:
        """Count the attempt.

        A machine that fails takes the count with it, and no song.
        """
        try:
            return int(ray.get(attempts.begin.remote(place)))
        except RayError:
            return 1

    rows = ray.data.from_items([{"song": song.to_json()} for song in songs], override_num_blocks=len(songs))
    wishes = worker[1]
    results = rows.map_batches(
        Worker,
        batch_size=1,
        fn_constructor_args=(files, lambda: ray.get(stored), begin, *worker),
        num_cpus=room.cpus,
        num_gpus=1 if wishes.device in GPUS else None,
        compute=ray.data.ActorPoolStrategy(
            min_size=min(room.least, len(songs)),
            max_size=min(room.most, len(songs)),
            max_tasks_in_flight_per_actor=1,  # no song waits for one worker while another is idle
        ),
    )
    results.context.enable_progress_bars = False
    results.context.max_errored_blocks = -1  # what Ray loses is missing below, and the others go on
    missing = {song.place: song for song in songs}
    try:
        # By default, and with iter_rows, each row waits for the next.
        for batch in results.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
            for outcome in map(SongOutcome.from_json, batch["outcome"]):
                missing.pop(outcome.place, None)
                yield outcome
    except RayError as error:
        raise CompilerError(f"the workers cannot run: {_last_line(error)}") from error
    for song in missing.values():
        yield SongOutcome(song.shown, song.place, error=f"{song.shown}: the cluster lost its result")


class _Attempts:
    """Counts how often each song was begun.

    In an actor of its own: Ray Data begins what kills its worker again for ever.
    """

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, place: str) -> int:
        """Count one more, and return how many there are."""
        self._begun[place] += 1
        return self._begun[place]


def _last_line(error: BaseException) -> str:
    """The exception itself, of a traceback that came from afar."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
