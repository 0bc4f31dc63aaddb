"""Folders and lists of songs, runs that are resumed, and what overlaps."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import run
from tiny_model import TinyModel
from typer.testing import CliRunner

from onnx_demucs_compiler.cli import app
from onnx_demucs_compiler.cli.song_bars import SongBars
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime import Encoding, Separator, Song, find_songs, job, pipeline
from onnx_demucs_compiler.runtime.graph import Graph
from onnx_demucs_compiler.runtime.manifest import Manifest
from onnx_demucs_compiler.runtime.songs import listed_songs
from onnx_demucs_compiler.runtime.stderr import heard, unheard

MODEL = "untrained_tiny_seed=0"
Library = Callable[..., Path]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Write songs into a folder."""

    def write(*names: str) -> Path:
        folder = tmp_path / "library"
        for number, name in enumerate(names):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in (".wav", ".flac"):
                noise = np.random.default_rng(number).normal(0, 0.1, (2100 + number, 2))
                soundfile.write(path, noise, 8000)
            else:
                path.write_bytes(b"x" * 100)
        return folder

    return write


def written(out: Path) -> list[str]:
    return sorted(path.parent.relative_to(out / MODEL).as_posix() for path in out.rglob("vocals.*"))


def test_folders_are_searched_and_kept(artifact: Path, library: Library, out: Path) -> None:
    folder = library("b/two.wav", "b/c/three.flac", "one.wav", "cover.jpg", "b/.hidden.wav", ".git/four.wav")
    assert [song.path.relative_to(folder).as_posix() for song in find_songs(folder)] == [
        "one.wav",
        "b/two.wav",
        "b/c/three.flac",
    ]
    result = run("separate", artifact, folder, "-o", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert written(out) == ["b/c/three", "b/two", "one"]


def test_stems_are_no_songs(artifact: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = library("one.wav")
    for out in (folder / "separated", folder / "again"):
        assert run("separate", artifact, folder, "-o", out).exit_code == 0
        assert written(out) == ["one"]
    (folder / "out").mkdir()
    (folder / "out" / "half.wav").touch()
    monkeypatch.chdir(folder)
    assert [song.path.name for song in find_songs(folder, leave_out=Path("out"))] == ["one.wav"]


@pytest.mark.parametrize("source", ["-", "songs.m3u8"])
def test_lists(
    source: str, artifact: Path, library: Library, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = library("a/one.wav", "b/one.wav", "two.wav")
    text = f"\ufeff#EXTM3U\n\na/one.wav\r\nb/one.wav\n{folder / 'two.wav'}\n"
    monkeypatch.chdir(folder)
    (folder / "songs.m3u8").write_text(text, encoding="utf-8")
    arguments = ["separate", str(artifact), "-o", str(out), "--list", source]
    result = CliRunner().invoke(app, arguments, input=text)
    assert (result.exit_code, result.stderr) == (0, "")
    assert written(out) == ["a/one", "b/one", "two"]


def test_paths_of_a_list_that_go_up_lose_their_folders() -> None:
    folders = [song.folder.as_posix() for song in listed_songs("../x/one.wav\n/y/two.wav\nz/./three.a.wav")]
    assert folders == ["one", "two", "z/three.a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no song is given; name a SONG, a folder of songs, or a --list"),
        (["--list", "absent.txt"], "absent.txt: the list cannot be read (No such file or directory)"),
        (["--list", "-"], "-: the list names no song"),
        (["song.wav", "--summary", "song.wav"], "song.wav exists, and is no summary; give another name"),
        (["song.wav", "--summary", "absent/x"], "the folder absent does not exist"),
    ],
)
def test_wrong_usage(
    arguments: list[str], message: str, artifact: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(song.parent)
    before = song.read_bytes()
    result = run("separate", artifact, *arguments)
    assert result.exit_code in (1, 2)
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert song.read_bytes() == before


def test_found_songs_fail_alone(artifact: Path, library: Library, out: Path) -> None:
    folder = library("1.mp3", "2.wav", "3 .wav", "4.wav", "4.flac", "5.wav")
    summary = out.parent / "summary.json"
    result = run("separate", artifact, folder, "-o", out, "--summary", summary)
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("error: 3 of 6 songs failed: ")
    for part in ("1.mp3: cannot be read as audio", "can be called '3 '", "4.wav would both be written to 4"):
        assert part in line
    told = json.loads(summary.read_text(encoding="utf-8"))
    assert [Path(entry["song"]).name for entry in told["songs"]] == ["2.wav", "4.flac", "5.wav"]
    assert [Path(entry["song"]).name for entry in told["failed"]] == ["1.mp3", "3 .wav", "4.wav"]
    assert written(out) == ["2", "4", "5"]
    assert run("separate", artifact, folder / "2.wav", "-o", out, "--summary", summary).exit_code == 0


def runs_of_the_model(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    runs: list[int] = []
    original = Graph.run

    def counted(self: Graph, mixes: np.ndarray) -> np.ndarray:
        runs.append(len(mixes))
        return original(self, mixes)

    monkeypatch.setattr(Graph, "run", counted)
    return runs


def test_resume_finishes_the_rest(
    artifact: Path, library: Library, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = library("1.wav", "2.wav", "3.wav")
    good = (folder / "2.wav").read_bytes()
    (folder / "2.wav").write_bytes(good[:20])
    assert run("separate", artifact, folder, "-o", out).exit_code == 1
    assert written(out) == ["1", "3"]
    (folder / "2.wav").write_bytes(good)
    runs = runs_of_the_model(monkeypatch)
    result = run("separate", artifact, folder, "-o", out, "--resume", "--json")
    assert result.exit_code == 0
    songs = json.loads(result.stdout)["songs"]
    assert [entry["skipped"] for entry in songs] == [True, False, True]
    assert songs[0]["audio_seconds"] == 2100 / 8000
    assert [len(entry["files"]) for entry in songs] == [3, 3, 3]
    assert len(runs) == 3


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")


CHANGES = {
    "nothing": lambda song, stems: None,
    "song": lambda song, stems: damage(song),
    "stem": lambda song, stems: damage(stems / "bass.wav"),
    "cut": lambda song, stems: (stems / "bass.wav").write_bytes(b"RIFF"),
    "missing": lambda song, stems: (stems / "vocals.wav").unlink(),
    "manifest": lambda song, stems: (stems / "stems.json").write_text("{}"),
    "deep": lambda song, stems: (stems / "stems.json").write_text("[" * 100_000),
}


@pytest.mark.parametrize("change", CHANGES)
def test_only_what_is_complete_is_skipped(
    change: str, artifact: Path, song: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("separate", artifact, song, "-o", out).exit_code == 0
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    CHANGES[change](song, out / MODEL / "song")
    runs = runs_of_the_model(monkeypatch)
    assert run("separate", artifact, song, "-o", out, "--resume").exit_code == 0
    assert bool(runs) == (change != "nothing")
    if change != "song":
        assert {path: path.read_bytes() for path in out.rglob("*.*")} == before


@pytest.mark.parametrize(
    "options",
    [
        ["--overlap", "0.1"],
        ["--float32"],
        ["--clip-mode", "none"],
        ["--two-stems", "bass"],
        ["--format", "flac"],
    ],
    ids=lambda options: options[0],
)
def test_other_settings_are_not_skipped(
    options: list[str], artifact: Path, song: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("separate", artifact, song, "-o", out).exit_code == 0
    runs = runs_of_the_model(monkeypatch)
    assert run("separate", artifact, song, "-o", out, "--resume", *options).exit_code == 0
    assert runs


def test_the_manifest_knows_sizes_and_checksums(separator: Separator, song: Path, out: Path) -> None:
    files = separator.separate_file(song, out).files
    manifest = Manifest.read(files["bass"].parent / "stems.json")
    assert manifest is not None
    assert manifest.song.name == "song.wav"
    assert all(manifest.stems[name].matches(file) for name, file in files.items())
    assert not manifest.stems["bass"].matches(files["drums"])


def test_steps_overlap(artifact: Path, library: Library, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the second song is separated the third is decoded and the first written."""
    folder = library("1.wav", "2.wav", "3.wav")
    reached = {name: threading.Event() for name in ("decode 3", "write 1")}
    separate, decode, write = job.Job.separate, job.Job.decode, job.Job.write

    def separated(self: job.Job, *rest: object) -> None:
        if self.song.path.stem == "2":
            assert all(event.wait(30) for event in reached.values())
        separate(self, *rest)

    def named(kind: str, step: Callable[[job.Job], object]) -> Callable[[job.Job], object]:
        def told(self: job.Job) -> object:
            if event := reached.get(f"{kind} {self.song.path.stem}"):
                event.set()
            return step(self)

        return told

    monkeypatch.setattr(job.Job, "separate", separated)
    monkeypatch.setattr(job.Job, "decode", named("decode", decode))
    monkeypatch.setattr(job.Job, "write", named("write", write))
    assert run("separate", artifact, folder, "-o", out).exit_code == 0
    assert written(out) == ["1", "2", "3"]


def test_three_songs_at_most_are_on_the_disk(
    artifact: Path, library: Library, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = library(*(f"{number}.wav" for number in range(8)))
    most, write = [0], job.Job.write

    def counted(self: job.Job) -> object:
        most.append(len(list(out.rglob(".song.f32"))))
        return write(self)

    monkeypatch.setattr(job.Job, "write", counted)
    assert run("separate", artifact, folder, "-o", out).exit_code == 0
    assert 1 <= max(most) <= 4


def test_stems_of_many_are_those_of_one(separator: Separator, library: Library, out: Path) -> None:
    songs = [Song(path) for path in sorted(library("1.wav", "2.wav", "3.wav").iterdir())]
    float32 = Encoding(float32=True)
    outcomes = list(separator.separate_files(songs, out.with_name("many"), encoding=float32))
    for song, outcome in zip(songs, outcomes, strict=True):
        alone = separator.separate_file(song.path, out.with_name("one"), encoding=float32)
        assert outcome.song == song.path
        assert outcome.result is not None
        for name, file in outcome.result.files.items():
            # Not their bytes: libsndfile writes the time into float files.
            found, wanted = (soundfile.read(path)[0] for path in (file, alone.files[name]))
            np.testing.assert_array_equal(found, wanted)


def test_a_caller_that_stops_leaves_nothing_begun(separator: Separator, library: Library, out: Path) -> None:
    before = threading.active_count()
    outcomes = separator.separate_files(find_songs(library("1.wav", "2.wav", "3.wav", "4.wav")), out)
    assert next(outcomes).result is not None
    outcomes.close()
    assert not list(out.rglob(".*"))
    assert threading.active_count() == before


def test_a_full_disk_stops_all(
    artifact: Path, library: Library, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: job.Job) -> None:
        raise OSError(28, "No space left on device")

    runs = runs_of_the_model(monkeypatch)
    monkeypatch.setattr(job.Job, "write", full)
    result = run("separate", artifact, library(*(f"{n}.wav" for n in range(9))), "-o", out)
    assert result.exit_code == 1
    assert "the disk is full" in result.stderr
    assert len(runs) < 20
    assert not out.exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_what_was_complete_at_a_signal_is_kept(tmp_path: Path, out: Path) -> None:
    model = TinyModel().save(tmp_path / "tiny.onnx")
    for name, seconds in (("1.wav", 1), ("2.wav", 900), ("3.wav", 900)):
        with soundfile.SoundFile(tmp_path / name, "w", 8000, 2, "PCM_16") as file:
            for _ in range(seconds):
                file.write(np.zeros((8000, 2), np.int16))
    songs = [str(tmp_path / f"{number}.wav") for number in (1, 2, 3)]
    code = "from onnx_demucs_compiler.__main__ import main; main()"
    arguments = [sys.executable, "-c", code, "separate", str(model), *songs, "-o", str(out)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not list(out.rglob("2/.onnx-demucs-*/drums.f32")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "error: interrupted; no partial file was left\n")
    assert sorted(path.name for path in out.rglob("*")) == sorted(
        [MODEL, "1", "bass.wav", "drums.wav", "stems.json", "vocals.wav"]
    )


def test_what_native_libraries_print_is_not_heard(capfd: pytest.CaptureFixture[str]) -> None:
    with heard():
        with unheard():
            os.write(2, b"from a library\n")
            with unheard():
                sys.stderr.write("from Python\n")
        os.write(2, b"later\n")
    assert capfd.readouterr().err == "from Python\nlater\n"


def test_a_progress_bar_of_all_songs(
    artifact: Path, library: Library, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = run("separate", artifact, library("1.wav", "2.wav"), "-o", out)
    assert "2 of 2 songs" in result.stderr


def test_what_is_passed_over_says_nothing_of_the_time(tmp_path: Path) -> None:
    songs = [tmp_path / f"{number}.wav" for number in range(3)]
    for song in songs:
        song.write_bytes(bytes(100))
    bars = SongBars(songs, visible=True)
    bars.end(songs[0], separated=False)
    bars.show(songs[1], 30, 60)
    overall, song = bars._bars.tasks
    assert (overall.completed, overall.total, overall.description) == (50, 200, "2 of 3 songs")
    assert (song.completed, song.total, song.description) == (30, 60, "1.wav")
    bars.end(songs[1], separated=True)
    bars.show(songs[2], 60, 60)
    assert (overall.completed, overall.total) == (200, 200)


def test_a_failure_keeps_no_frames_and_tells_them_to_the_log(
    separator: Separator, song: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Graph, mixes: np.ndarray) -> np.ndarray:
        try:
            raise RuntimeError("lost")
        except RuntimeError as error:
            raise CompilerError("the device is lost") from error

    monkeypatch.setattr(Graph, "run", fail)
    told: list[str] = []
    monkeypatch.setattr(pipeline.LOG, "debug", lambda text, *rest, **_: told.append(text % rest))
    [outcome] = separator.separate_files([Song(song)], out)
    assert str(outcome.error) == "the device is lost"
    assert outcome.error is not None
    assert outcome.error.__cause__ is not None
    assert (outcome.error.__traceback__, outcome.error.__cause__.__traceback__) == (None, None)
    assert told == [f"{song} failed"]
