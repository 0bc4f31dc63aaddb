"""``onnx-demucs separate``: songs into stems, with a compiled model and no torch."""

import logging
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from onnx_demucs_compiler.errors import CompilerError, UsageError

if TYPE_CHECKING:
    from onnx_demucs_compiler.runtime import Outcome, Song
    from onnx_demucs_compiler.runtime.health import Health


def separate(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx", help="What onnx-demucs compile wrote.")],
    songs: Annotated[
        list[str] | None,
        typer.Argument(metavar="SONG...", help="wav, flac, mp3, ogg, m4a, …, or folders."),
    ] = None,
    song_list: Annotated[
        str | None,
        typer.Option("--list", metavar="FILE|-", help="Songs too: the lines of FILE, or of stdin."),
    ] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="DIR", help="Stems go to DIR/MODEL/TRACK/STEM.wav.")
    ] = "separated",
    resume: Annotated[
        bool, typer.Option("--resume", help="Pass over songs whose stems an earlier run completed.")
    ] = False,
    overlap: Annotated[
        float | None,
        typer.Option(help="Part of each segment that the next covers too, 0 to 1.", show_default="0.25"),
    ] = None,
    segment: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Length of segments, for a model of --length dynamic.",
            show_default="the model's",
        ),
    ] = None,
    shifts: Annotated[
        int,
        typer.Option(min=0, max=100, help="Passes, each begun up to half a second earlier, to be averaged."),
    ] = 0,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="With --shifts: of the numbers that say when.", show_default="0"),
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
    format: Annotated[  # noqa: A002
        Literal["wav", "flac", "mp3", "m4a", "stem.mp4"],
        typer.Option(help="wav and flac of 16 bits, MP3, AAC in m4a, or one stem.mp4 for DJ software."),
    ] = "wav",
    int24: Annotated[bool, typer.Option("--int24", help="24-bit samples (wav and flac).")] = False,
    float32: Annotated[bool, typer.Option("--float32", help="32-bit float samples (wav only).")] = False,
    mp3_bitrate: Annotated[
        int | None, typer.Option(metavar="KBITS", help="Of MP3, in kbit/s.", show_default="320")
    ] = None,
    rate: Annotated[
        Literal["model", "source"], typer.Option(help="Sample rate of the stems: the model's or the song's.")
    ] = "model",
    clip_mode: Annotated[
        Literal["rescale", "clamp", "none"],
        typer.Option(help="Against clipping: rescale the whole stem if need be, clamp samples, or nothing."),
    ] = "rescale",
    device: Annotated[
        str,
        typer.Option(
            "--device",
            "-d",
            metavar="DEVICE",
            help="auto, cpu, cuda, tensorrt, coreml, directml, webgpu, xnnpack, or a plug-in's library.",
        ),
    ] = "auto",
    runtime: Annotated[
        Literal["onnxruntime", "openvino"],
        typer.Option(help="Program that computes: ONNX Runtime, or OpenVINO on the CPU."),
    ] = "onnxruntime",
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Threads to compute with.", show_default="usable cores"),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Spread the songs over workers on this machine, with Ray.")
    ] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Over those of a Ray cluster: HOST:PORT, or auto. URIs are taken."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="With Ray: workers at most.", show_default="as fit"),
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what --json prints to FILE.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Separate songs into stems.

    Every SONG is checked before the first is begun; the songs of folders and lists are not.

    One that fails leaves no file and does not stop the others; it is reported at the end (exit code 1).
    """
    from onnx_demucs_compiler.cli.song_bars import SongBars
    from onnx_demucs_compiler.cli.song_report import SongReport
    from onnx_demucs_compiler.cli.warning import print_warnings
    from onnx_demucs_compiler.runtime import Encoding, Separator
    from onnx_demucs_compiler.runtime.stderr import heard
    from onnx_demucs_compiler.tracing.quiet import debugging

    if debugging():
        logging.basicConfig(level=logging.DEBUG)
    encoding = Encoding(format, float32, clip_mode, int24, mp3_bitrate)
    if seed is not None and not shifts:
        raise UsageError("--seed goes with --shifts")
    report = SongReport(summary, quiet=quiet, as_json=as_json)
    if ray or ray_address is not None:
        from onnx_demucs_compiler.catalogue import Cluster, Wishes
        from onnx_demucs_compiler.cli.catalogue import separate_on_ray

        listed = None if song_list is None else _text_of(song_list)
        wishes = Wishes(
            encoding,
            device,
            overlap,
            segment,
            two_stems,
            other_method,
            downmix,
            rate,
            resume,
            runtime,
            shifts=shifts,
            seed=seed or 0,
        )
        cluster = Cluster(ray_address, workers, threads)
        return separate_on_ray(model, songs or [], listed, out, wishes, cluster, report)
    _check_without_ray([model, *(songs or []), out], workers)
    named, found = _songs(map(Path, songs or []), song_list, Path(out))
    report.check()
    separator = Separator(
        model,
        threads=threads,
        overlap=overlap,
        segment=segment,
        shifts=shifts,
        seed=seed or 0,
        device=device,
        runtime=runtime,
    )
    _tell_health(separator.health, quiet=quiet, as_json=as_json)
    print_warnings(separator.warnings, quiet=quiet)
    _check(named, separator.metadata.audio_channels, downmix=downmix)

    outcomes: list[Outcome] = []
    everything = [*named, *found]
    with heard(), SongBars([song.path for song in everything], visible=not (quiet or as_json)) as bars:
        separating = separator.separate_files(
            everything,
            Path(out),
            encoding=encoding,
            two_stems=two_stems,
            other_method=other_method,
            downmix=downmix,
            rate=rate,
            resume=resume,
            progress=bars.show,
        )
        with closing(separating):
            for outcome in separating:
                outcomes.append(outcome)
                bars.end(outcome.song, separated=bool(outcome.result and not outcome.result.skipped))
                if outcome.result:
                    print_warnings(outcome.result.warnings, quiet=quiet)

    report.finish(
        [{"song": one.song, **asdict(one.result)} for one in outcomes if one.result],
        [{"song": one.song, "error": one.error} for one in outcomes if one.error],
        asdict(separator.health),
    )


def _check_without_ray(places: "Iterable[str]", workers: int | None) -> None:
    """Refuse what needs a cluster."""
    if workers is not None:
        raise UsageError("--workers goes with --ray or --ray-address")
    for place in places:
        if "://" in place:
            raise UsageError(
                f"{place} is no path of this machine; stores are read with --ray or --ray-address"
            )


def _songs(named: Iterable[Path], song_list: str | None, out: Path) -> "tuple[list[Song], list[Song]]":
    """The songs that the user named, and those of folders and lists."""
    from onnx_demucs_compiler.runtime import Song, find_songs
    from onnx_demucs_compiler.runtime.songs import listed_songs

    songs: list[Song] = []
    found: list[Song] = []
    for path in named:
        if path.is_dir():
            below = list(find_songs(path, leave_out=out))
            if not below:
                raise CompilerError(f"{path}: there is no song in this folder or below")
            found += below
        else:
            songs.append(Song(path))
    if song_list is not None:
        listed = list(listed_songs(_text_of(song_list)))
        if not listed:
            raise CompilerError(f"{song_list}: the list names no song")
        found += listed
    if not (songs or found):
        raise UsageError("no song is given; name a SONG, a folder of songs, or a --list")
    return songs, found


def _text_of(song_list: str) -> str:
    """The text of a list.

    Bytes that are no UTF-8 stay what they are in a path.
    """
    if song_list == "-":
        data = typer.get_binary_stream("stdin").read()
    else:
        try:
            data = Path(song_list).read_bytes()
        except OSError as error:
            raise CompilerError(f"{song_list}: the list cannot be read ({error.strerror})") from error
    return data.decode("utf-8", "surrogateescape")


def _check(songs: "Iterable[Song]", channels: int, *, downmix: bool) -> None:
    from onnx_demucs_compiler.runtime.audio import check_song
    from onnx_demucs_compiler.runtime.output import check_distinct

    check_distinct(
        [(str(song.path), str(song.folder)) for song in songs], "rename one, or give it an --out of its own"
    )
    for song in songs:
        check_song(song.path, channels, downmix=downmix)


def _tell_health(health: "Health", *, quiet: bool, as_json: bool) -> None:
    """Warn if the CPU took over, or else tell the SNR."""
    from onnx_demucs_compiler.cli.warning import print_warnings

    if health.reason:
        print_warnings([health.line], quiet=quiet)
    elif health.line and not (quiet or as_json):
        typer.echo(health.line)
