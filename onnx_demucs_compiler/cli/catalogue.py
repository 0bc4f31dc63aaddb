"""``separate`` on the machines of a Ray cluster."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.catalogue import Location, check_installed, find_catalogue, separate_catalogue
from onnx_demucs_compiler.cli.song_bars import CatalogueBar
from onnx_demucs_compiler.cli.warning import print_warnings
from onnx_demucs_compiler.runtime.devices import CPU
from onnx_demucs_compiler.runtime.health import Health

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx_demucs_compiler.catalogue import Cluster, SongOutcome, Wishes
    from onnx_demucs_compiler.cli.song_report import SongReport

TOLD = ("song", "files", "audio_seconds", "processing_seconds", "warnings", "skipped", "machine")
"""Of each song in the summary."""


def separate_on_ray(
    model: str,
    songs: Iterable[str],
    listed: str | None,
    out: str,
    wishes: Wishes,
    cluster: Cluster,
    report: SongReport,
) -> None:
    """Separate a catalogue and report it.

    Paths and URIs are as the user wrote them.

    Args:
        model: the artifact.
        songs: songs and folders.
        listed: the text of a list.
        out: where the stems go.
        wishes: for every song.
        cluster: where the workers are.
        report: the way in which it is reported.
    """
    check_installed()
    target = Location.of(out)
    catalogue = find_catalogue(songs, listed, target)
    report.check()
    outcomes: list[SongOutcome] = []
    with CatalogueBar([song.size for song in catalogue], visible=report.tells) as bar:
        sizes = {song.place: song.size for song in catalogue}
        with closing(
            separate_catalogue(Location.of(model), catalogue, target, wishes, cluster)
        ) as separating:
            for outcome in separating:
                _warn_of_device(outcome, outcomes, quiet=report.quiet)
                print_warnings(outcome.warnings, quiet=report.quiet)
                outcomes.append(outcome)
                separated = not (outcome.skipped or outcome.error)
                bar.end(sizes[outcome.place], separated=separated, failed=bool(outcome.error))
    places = {song.shown: number for number, song in reversed([*enumerate(catalogue)])}
    outcomes.sort(key=lambda outcome: places[outcome.song])
    report.finish(
        [_told(outcome) for outcome in outcomes if not outcome.error],
        [{"song": outcome.song, "error": outcome.error} for outcome in outcomes if outcome.error],
        next((one.device for one in outcomes if one.device), asdict(Health(CPU.name, CPU.name))),
    )


def _warn_of_device(outcome: SongOutcome, before: Iterable[SongOutcome], *, quiet: bool) -> None:
    """Warn where the CPU of a machine took over, once for each."""
    if outcome.device.get("reason") and all(outcome.machine != one.machine for one in before):
        print_warnings([f"{outcome.machine}: {Health(**outcome.device).line}"], quiet=quiet)


def _told(outcome: SongOutcome) -> dict[str, Any]:
    """A song for the summary."""
    told = asdict(outcome)
    return {name: told[name] for name in TOLD}
