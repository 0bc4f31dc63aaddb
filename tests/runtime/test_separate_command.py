"""``onnx-demucs separate`` as a user meets it: exit codes, one clear line, and what is left on the disk."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from command_line import Result, run
from tiny_model import TinyModel

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.runtime import Separator
from onnx_demucs_compiler.runtime.encoding import RawStem
from onnx_demucs_compiler.runtime.graph import Graph

STEMS = ["bass.wav", "drums.wav", "stems.json", "vocals.wav"]


def fails_cleanly(result: Result, exit_code: int, *parts: str) -> None:
    assert result.exit_code == exit_code, result.stderr
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line


def with_sample(value: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        samples = np.zeros((8000, 2), np.float32)
        samples[6000, 1] = value
        soundfile.write(path, samples, 8000, "FLOAT")

    return write


def truncated_flac(path: Path) -> None:
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (200_000, 2)), 8000, format="FLAC")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD_SONGS = [
    ("missing.wav", lambda path: None, "no such file"),
    ("folder.wav", Path.mkdir, "there is no song in this folder"),
    ("empty.wav", Path.touch, "empty (0 bytes)"),
    ("text.mp3", lambda path: path.write_text("la la la " * 500), "cannot be read as audio"),
    ("bare.raw", lambda path: path.write_bytes(bytes(1000)), "cannot be read as audio"),
    ("nothing.wav", lambda path: soundfile.write(path, np.zeros((0, 2)), 8000), "holds no audio (0 seconds)"),
    ("short.wav", lambda path: soundfile.write(path, np.zeros((1, 2)), 44100), "holds no audio (0 seconds)"),
    ("nan.wav", with_sample(np.nan), "the sample at 0.750 s is not a finite number"),
    ("inf.wav", with_sample(-np.inf), "the sample at 0.750 s is not a finite number"),
    ("damaged.flac", truncated_flac, "damaged after"),
]


@pytest.mark.parametrize(("name", "make", "message"), BAD_SONGS, ids=[name for name, *_ in BAD_SONGS])
def test_bad_songs(
    name: str, make: Callable[[Path], object], message: str, artifact: Path, tmp_path: Path, out: Path
) -> None:
    make(tmp_path / name)
    fails_cleanly(run("separate", artifact, tmp_path / name, "-o", out), 1, name, message)
    assert not out.exists()


def garbled(path: Path) -> None:
    path.write_bytes(b"not a model" * 100)


def foreign(path: Path) -> None:
    import onnx

    TinyModel().save(path)
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)


def changed(**changes: object) -> Callable[[Path], object]:
    return lambda path: TinyModel().save(path, **changes)


BAD_MODELS = [
    ("missing.onnx", lambda path: None, "no such file"),
    ("folder.onnx", Path.mkdir, "not a file"),
    ("garbled.onnx", garbled, "onnxruntime cannot load it"),
    ("foreign.onnx", foreign, "not made by onnx-demucs-compile"),
    ("core.onnx", changed(interface="core"), "metadata has no n_fft"),
    ("no-separator.onnx", changed(sources=(), sample_rate=0), "has no stems and no sample rate"),
    ("future.onnx", changed(interface="stereo"), "the interface stereo, which this version"),
    ("no-batch.onnx", changed(batch="four"), "gives the batch as four"),
    (
        "segment.onnx",
        changed(segment=999),
        "the model's inputs are mix [1, 2, 1000], and its metadata (interface waveform, batch 1) describes "
        "mix [1, 2, 999]",
    ),
    ("sources.onnx", changed(sources=(1, 2, 3)), "lacks or garbles a list of names: [1, 2, 3]"),
    (
        "other.onnx",
        changed(other_method="add"),
        "names 3 stems, and other_method add stands for two",
    ),
    ("twice.onnx", changed(sources=("bass", "drums", "bass")), "names a stem twice (bass, drums, bass)"),
    ("batch.onnx", changed(batch="4"), "(interface waveform, batch 4) describes mix [4, 2, 1000]"),
    ("open-batch.onnx", changed(batch="dynamic"), "describes mix [batch, 2, 1000]"),
    ("open-length.onnx", changed(length="dynamic"), "describes mix [1, 2, samples]"),
    ("channels.onnx", changed(audio_channels=1), "describes mix [1, 1, 1000]"),
    (
        "stems.onnx",
        changed(sources=("drums", "bass")),
        "the model's outputs are stems [1, 3, 2, 1000], and its metadata (interface waveform, batch 1) "
        "describes stems [1, 2, 2, 1000]",
    ),
    (
        "spectral.onnx",
        changed(interface="spectral", n_fft=64),
        "describes spec_real [1, 2, 32, 63], spec_imag [1, 2, 32, 63], audio [1, 2, 1000]",
    ),
]


@pytest.mark.parametrize(("name", "make", "message"), BAD_MODELS, ids=[name for name, *_ in BAD_MODELS])
def test_bad_models(
    name: str, make: Callable[[Path], object], message: str, song: Path, tmp_path: Path, out: Path
) -> None:
    make(tmp_path / name)
    fails_cleanly(run("separate", tmp_path / name, song, "-o", out), 1, message)
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--two-stems", "flute"], "no stem flute; it has drums, bass, vocals"),
        (["--overlap", "1"], "the overlap"),
        (["--overlap", "-0.5"], "the overlap"),
        (["--format", "flac", "--float32"], "flac"),
    ],
)
def test_wrong_usage(options: list[str], message: str, artifact: Path, song: Path, out: Path) -> None:
    fails_cleanly(run("separate", artifact, song, "-o", out, *options), 2, message)
    assert not out.exists()


@pytest.mark.parametrize(
    ("metadata", "options", "message"),
    [
        ({"model_sources": ("drums", "bass", "vocals", "piano")}, [],
         "no_bass cannot be added up without piano"),
        ({"model_sources": ("drums", "bass", "vocals", "piano")}, ["--other-method", "minus"], None),
        ({"model_sources": ("drums", "bass", "vocals", "piano")}, ["--other-method", "none"], None),
        ({"model_sources": ("vocals", "bass", "drums")}, [], None),
    ],
)  # fmt: skip
def test_two_stems_of_a_choice(
    metadata: dict[str, Any], options: list[str], message: str | None, song: Path, tmp_path: Path, out: Path
) -> None:
    model = TinyModel().save(tmp_path / "chosen.onnx", **metadata)
    result = run("separate", model, song, "-o", out, "--two-stems", "bass", *options)
    if message is None:
        assert (result.exit_code, result.stderr) == (0, "")
    else:
        fails_cleanly(result, 2, message)
        assert not out.exists()


def test_nothing_is_left_of_one_source(song: Path, tmp_path: Path, out: Path) -> None:
    model = TinyModel(sources=("vocals",)).save(tmp_path / "one.onnx")
    asked = ["separate", model, song, "-o", out, "--two-stems", "vocals"]
    fails_cleanly(run(*asked), 2, "vocals is the model's only stem", "use --other-method minus or none")
    assert not out.exists()
    assert run(*asked, "--other-method", "minus").exit_code == 0


@pytest.mark.parametrize(
    "options", [["--format", "ogg"], ["--threads", "0"], ["--clip-mode", "tanh"], ["--nope"]]
)
def test_typer_reports_the_rest(options: list[str], artifact: Path, song: Path, out: Path) -> None:
    result = run("separate", artifact, song, "-o", out, *options)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert "Traceback" not in result.stderr


def test_output_folder_without_parent(artifact: Path, song: Path, tmp_path: Path) -> None:
    result = run("separate", artifact, song, "-o", tmp_path / "a" / "b")
    fails_cleanly(result, 1, "cannot write to the output folder", "No such file or directory")
    assert not (tmp_path / "a").exists()


def test_output_folder_is_a_file(artifact: Path, song: Path, out: Path) -> None:
    out.write_text("mine")
    result = run("separate", artifact, song, "-o", out)
    fails_cleanly(result, 1, "cannot write to the output folder", "Not a directory")
    assert out.read_text() == "mine"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_read_only_output_folder(artifact: Path, song: Path, out: Path) -> None:
    out.mkdir(mode=0o500)
    result = run("separate", artifact, song, "-o", out)
    fails_cleanly(result, 1, "cannot write to the output folder", "Permission denied")


def test_a_folder_in_the_way(artifact: Path, song: Path, out: Path) -> None:
    in_the_way = out / "untrained_tiny_seed=0" / "song" / "bass.wav"
    in_the_way.mkdir(parents=True)
    fails_cleanly(run("separate", artifact, song, "-o", out), 1, "bass.wav: is a folder")
    assert list(out.rglob("*.*")) == [in_the_way]


def test_a_song_is_not_overwritten_by_its_stem(artifact: Path, song: Path, out: Path) -> None:
    home = out / "untrained_tiny_seed=0" / "bass"
    home.mkdir(parents=True)
    precious = song.rename(home / "bass.wav")
    before = precious.read_bytes()
    fails_cleanly(run("separate", artifact, precious, "-o", out), 1, "is the song itself")
    assert precious.read_bytes() == before


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "drums.f32")


@pytest.mark.parametrize("method", ["append", "encode"])
def test_full_disk(
    method: str, artifact: Path, song: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RawStem, method, full_disk)
    fails_cleanly(run("separate", artifact, song, "-o", out), 1, "the disk is full")
    assert not out.exists()


def test_failed_encoding_keeps_the_old_stems(
    artifact: Path, song: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("separate", artifact, song, "-o", out)
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    assert sorted(path.name for path in before) == STEMS
    encode = RawStem.encode

    def fail_on_the_last(self: RawStem, path: Path, *rest: object) -> None:
        encode(self, path, *rest)
        if path.stem == "vocals":
            full_disk()

    monkeypatch.setattr(RawStem, "encode", fail_on_the_last)
    fails_cleanly(run("separate", artifact, song, "-o", out, "--float32"), 1, "the disk is full")
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before


def test_a_model_that_makes_nan(
    song: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Graph, "run", lambda self, mixes: np.full((1, 3, *mixes.shape[1:]), np.nan, np.float32)
    )
    result = run("separate", TinyModel().save(tmp_path / "tiny.onnx"), song, "-o", out)
    fails_cleanly(result, 1, "drums has samples that are not finite numbers")
    assert not out.exists()


def test_bugs_keep_their_traceback(
    artifact: Path, song: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Graph, "run", lambda self, mixes: 1 / 0)
    assert isinstance(run("separate", artifact, song, "-o", out).exception, ZeroDivisionError)
    assert not out.exists()


def test_prints_what_it_wrote(artifact: Path, song: Path, out: Path) -> None:
    result = run("separate", artifact, song, "-o", out)
    assert result.exit_code == 0
    assert result.stderr == ""
    folder = out / "untrained_tiny_seed=0" / "song"
    assert result.stdout.split() == [str(folder / f"{name}.wav") for name in ("drums", "bass", "vocals")]
    assert sorted(path.name for path in folder.iterdir()) == STEMS
    assert {soundfile.info(path).subtype for path in folder.glob("*.wav")} == {"PCM_16"}


def test_quiet(artifact: Path, song: Path, out: Path) -> None:
    result = run("separate", artifact, song, "-o", out, "--quiet", "--format", "flac")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert sorted(path.name for path in out.rglob("*.*")) == [
        "bass.flac",
        "drums.flac",
        "stems.json",
        "vocals.flac",
    ]


def test_json(artifact: Path, song: Path, out: Path) -> None:
    result = run("separate", artifact, song, "-o", out, "--json", "--two-stems", "bass")
    assert result.stderr == ""
    printed = json.loads(result.stdout)
    [entry] = printed["songs"]
    assert printed["failed"] == []
    assert entry["song"] == str(song)
    assert list(entry["files"]) == ["bass", "no_bass"]
    assert all(Path(file).is_file() for file in entry["files"].values())
    assert entry["audio_seconds"] == 3210 / 8000
    assert entry["processing_seconds"] > 0


def test_every_song_is_checked_before_the_first(
    artifact: Path, song: Path, tmp_path: Path, out: Path
) -> None:
    fails_cleanly(
        run("separate", artifact, song, tmp_path / "nope.wav", "-o", out), 1, "nope.wav: no such file"
    )
    assert not out.exists()


def test_a_song_that_fails_does_not_stop_the_others(
    artifact: Path, song: Path, tmp_path: Path, out: Path
) -> None:
    with_sample(np.nan)(tmp_path / "broken.wav")
    result = run("separate", artifact, tmp_path / "broken.wav", song, "-o", out, "--json")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    printed = json.loads(result.stdout)
    assert [entry["song"] for entry in printed["songs"]] == [str(song)]
    assert [entry["song"] for entry in printed["failed"]] == [str(tmp_path / "broken.wav")]
    assert sorted(path.name for path in out.rglob("*.*")) == STEMS


@pytest.mark.parametrize("other", ["song.mp3", "Song.mp3", "SONG.wav"])
def test_songs_of_one_name(other: str, artifact: Path, song: Path, tmp_path: Path, out: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / other
    result = run("separate", artifact, song, elsewhere, "-o", out)
    fails_cleanly(result, 2, f"{song} and {elsewhere} would both be written to {elsewhere.stem}")
    assert not out.exists()


def test_songs_whose_names_have_other_forms_of_one_letter(artifact: Path, tmp_path: Path, out: Path) -> None:
    songs = [tmp_path / "caf\u00e9.wav", tmp_path / "cafe\u0301.wav"]
    fails_cleanly(run("separate", artifact, *songs, "-o", out), 2, "would both be written to")


TITLES_OF_NO_FOLDER = [
    "..", "...", "song.", "song ", " ", "con", "NUL", "Com1.live", "lpt² ", "aux .b", "a\nb", "caf\udce9"
]  # fmt: skip


@pytest.mark.parametrize("title", TITLES_OF_NO_FOLDER, ids=ascii)
def test_titles_of_no_folder(title: str, artifact: Path, song: Path, tmp_path: Path, out: Path) -> None:
    """Refused before any song is begun."""
    odd = tmp_path / f"{title}.wav"
    result = run("separate", artifact, song, odd, "-o", out)
    fails_cleanly(result, 2, f"can be called {title!r} on every system; rename the song")
    assert not out.exists()
    with pytest.raises(UsageError, match="rename the song"):
        Separator(artifact, threads=1).separate_file(odd, out)


@pytest.mark.parametrize("title", ["song", ".song", "a.b", "Who?", "Ümläut", "console", "com10", " x", "a b"])
def test_what_is_printed_is_there(title: str, artifact: Path, song: Path, out: Path) -> None:
    song = song.rename(song.with_name(f"{title}.wav"))
    result = run("separate", artifact, song, "-o", out)
    assert result.exit_code == 0, result.stderr
    assert [Path(line).parent.name for line in result.stdout.splitlines()] == [title] * 3
    assert all(Path(line).is_file() for line in result.stdout.splitlines())


@pytest.mark.parametrize("sources", [("kick/in", "kick:in", "bass"), ("Vocals", "bass", "vocals")])
def test_stems_of_one_file(sources: tuple[str, ...], song: Path, tmp_path: Path, out: Path) -> None:
    model = TinyModel().save(tmp_path / "meeting.onnx", sources=sources)
    result = run("separate", model, song, "-o", out)
    fails_cleanly(result, 2, "would both be written to", "with --two-stems, or compile a choice with --stems")
    assert not out.exists()
    alone = run("separate", model, song, "-o", out, "--two-stems", sources[0])
    assert alone.exit_code == 0, alone.stderr
    assert all(Path(line).is_file() for line in alone.stdout.splitlines())


def test_version_and_help() -> None:
    assert run("--version").stdout.startswith("onnx-demucs 0.")
    assert "separate" in run("--help").stdout
    assert "--two-stems" in run("separate", "--help").stdout
