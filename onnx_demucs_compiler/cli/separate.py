"""``onnx-demucs separate``: songs into stems, with a compiled model and no torch."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from onnx_demucs_compiler.errors import CompilerError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from onnx_demucs_compiler.runtime import SeparatedSong


def separate(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="What onnx-demucs compile wrote.")],
    songs: Annotated[list[Path], typer.Argument(metavar="SONG...", help="wav, flac, mp3, ogg, …")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Stems go to DIR/MODEL/TRACK/STEM.wav.")
    ] = Path("separated"),
    overlap: Annotated[
        float | None,
        typer.Option(help="Part of each segment that the next covers too, 0 to 1.", show_default="0.25"),
    ] = None,
    two_stems: Annotated[
        str | None, typer.Option(metavar="STEM", help="Write only STEM and what is left without it.")
    ] = None,
    other_method: Annotated[
        Literal["add", "minus", "none"],
        typer.Option(
            help="What is left: no_STEM, all other stems added; minus_STEM, the song minus STEM; or none."
        ),
    ] = "add",
    downmix: Annotated[
        bool,
        typer.Option(
            "--downmix", help="Mix surround channels to stereo (ITU-R BS.775), not the first two alone."
        ),
    ] = False,
    format: Annotated[Literal["wav", "flac"], typer.Option(help="16-bit files of this format.")] = "wav",  # noqa: A002
    float32: Annotated[bool, typer.Option("--float32", help="32-bit float samples (wav only).")] = False,
    clip_mode: Annotated[
        Literal["rescale", "clamp", "none"],
        typer.Option(help="Against clipping: rescale the whole stem if need be, clamp samples, or nothing."),
    ] = "rescale",
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Threads to compute with.", show_default="usable cores"),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Separate songs into stems.

    Every SONG is checked before the first is begun.

    One that fails later leaves no file and does not stop the others; it is reported at the end (exit code 1).
    """
    from onnx_demucs_compiler.cli.warning import print_warnings
    from onnx_demucs_compiler.runtime import Encoding, Separator
    from onnx_demucs_compiler.runtime.audio import check_song
    from onnx_demucs_compiler.runtime.output import check_distinct, track_name

    encoding = Encoding(format, float32, clip_mode)
    check_distinct(
        [(str(song), track_name(song)) for song in songs], "rename one, or give it an --out of its own"
    )
    separator = Separator(model, threads=threads, overlap=overlap)
    for song in songs:
        check_song(song, separator.metadata.audio_channels, downmix=downmix)

    done: dict[Path, SeparatedSong] = {}
    failed: dict[Path, CompilerError] = {}
    with _bars(visible=not (quiet or as_json)) as bars:
        for song in songs:
            try:
                done[song] = separator.separate_file(
                    song,
                    out,
                    encoding=encoding,
                    two_stems=two_stems,
                    other_method=other_method,
                    downmix=downmix,
                    progress=_add_bar(bars, song),
                )
                print_warnings(done[song].warnings, quiet=quiet)
            except UsageError:
                raise
            except CompilerError as error:
                failed[song] = error

    if as_json:
        typer.echo(_summary(done, failed))
    elif not quiet:
        for result in done.values():
            for file in result.files.values():
                typer.echo(file)
    if failed:
        raise CompilerError("; ".join(str(error) for error in failed.values()))


def _bars(*, visible: bool) -> "Progress":
    """Bars on stderr, if that is a terminal."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        disable=not (visible and console.is_terminal),
    )


def _add_bar(bars: "Progress", song: Path) -> Callable[[int, int], None]:
    """A progress bar for a song, indeterminate until its length is known."""
    task = bars.add_task(song.name, total=None)

    def update(done: int, total: int) -> None:
        bars.update(task, completed=done, total=total)

    return update


def _summary(done: "dict[Path, SeparatedSong]", failed: dict[Path, CompilerError]) -> str:
    """One JSON object: paths are strings, times are in seconds."""
    return json.dumps(
        {
            "songs": [{"song": song, **asdict(result)} for song, result in done.items()],
            "failed": [{"song": song, "error": error} for song, error in failed.items()],
        },
        default=str,
    )
