"""One worker, without Ray."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from catalogue_examples import MODEL, contents, left_over, manifests

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.catalogue import CatalogueSong, Location, SongOutcome, Wishes, find_catalogue
from onnx_demucs_compiler.catalogue import worker as worker_module
from onnx_demucs_compiler.catalogue.model_files import read_model
from onnx_demucs_compiler.catalogue.scratch import PREFIX, remove_left, scratch
from onnx_demucs_compiler.catalogue.worker import ATTEMPTS, Worker
from onnx_demucs_compiler.runtime import Encoding, Separator
from onnx_demucs_compiler.runtime.openvino import OpenVino

WISHES = Wishes(Encoding())
Make = Callable[..., Worker]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(worker_module, "HOLD_SECONDS", 0.0)


@pytest.fixture
def make(artifact: Path, out: Path) -> Make:
    def make(wishes: Wishes = WISHES, begun: int = 1, version: str = __version__) -> Worker:
        model, files = read_model(Location(str(artifact)))
        return Worker(model, lambda: files, lambda place: begun, Location(str(out)), wishes, "run", version)

    return make


@pytest.fixture
def songs(library: Path, out: Path) -> list[CatalogueSong]:
    return find_catalogue([str(library / "0")], None, Location(str(out)))


def ended(outcome: SongOutcome) -> SongOutcome:
    assert outcome.error == ""
    return outcome


def test_a_song(make: Make, songs: list[CatalogueSong], single: Path, out: Path, temporary: Path) -> None:
    worker = make()
    for song in songs:
        outcome = ended(worker.separate(song))
        assert outcome.files["bass"] == f"{MODEL}/{Path(song.place).stem}/bass.wav"
        assert not outcome.skipped
    for song in songs:
        name = Path(song.place).stem
        assert contents(out / MODEL / name) == contents(single / MODEL / "0" / name)
    assert left_over(temporary) == []
    again = make(replace(WISHES, resume=True))
    assert [again.separate(song).skipped for song in songs] == [True] * 3
    other = make(replace(WISHES, resume=True, overlap=0.1))
    assert not ended(other.separate(songs[0])).skipped
    shifted = make(replace(WISHES, resume=True, overlap=0.1, shifts=2))
    assert not ended(shifted.separate(songs[0])).skipped


def test_a_song_that_was_begun_too_often(make: Make, songs: list[CatalogueSong], out: Path) -> None:
    assert not make(begun=ATTEMPTS).separate(songs[0]).error
    outcome = make(begun=ATTEMPTS + 1).separate(songs[1])
    assert outcome.error == f"{songs[1].shown}: its worker died 4 times (killed, crashed, or out of memory)"
    assert len(manifests(out)) == 1


def test_another_version(make: Make, songs: list[CatalogueSong]) -> None:
    outcome = make(version="0.0.0").separate(songs[0])
    assert outcome.stops
    assert f"onnx-demucs-compiler is {__version__} there, and 0.0.0 here" in outcome.error


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FULL, "is full"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error"),
        (MemoryError(), "has not enough memory"),
        (ValueError("a bug"), "ValueError: a bug"),
    ],
)
def test_what_goes_wrong_is_an_outcome(
    error: Exception,
    words: str,
    make: Make,
    songs: list[CatalogueSong],
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    worker = make()
    monkeypatch.setattr(Separator, "separate_files", fail)
    outcome = worker.separate(songs[0])
    assert outcome.error.startswith(f"{songs[0].shown}: ")
    assert words in outcome.error
    assert (outcome.stops, outcome.full) == (False, error is FULL)
    assert left_over(temporary) == []


def test_a_full_disk_for_the_stems_stops_all(
    make: Make, songs: list[CatalogueSong], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, copy = [], shutil.copyfile

    def fill(source: Path, target: Path) -> None:
        copied.append(target)
        if len(copied) == 3:
            target.write_bytes(b"RIFF")
            raise FULL
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", fill)
    outcome = make().separate(songs[0])
    assert outcome.stops
    assert outcome.error == f"the disk is full: {out / MODEL / '0'}"
    assert contents(out) == {}


def test_a_folder_that_vanishes_is_not_made_again(
    make: Make, songs: list[CatalogueSong], out: Path, tmp_path: Path
) -> None:
    worker = make()
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    worker._out = Location(str(tmp_path / "gone" / "out"))
    outcome = worker.separate(songs[0])
    assert f"the stems cannot be written to {tmp_path / 'gone' / 'out'}" in outcome.error
    assert not (tmp_path / "gone").exists()
    shutil.copy(songs[1].path, tmp_path / "0.wav")
    [lost] = find_catalogue([str(tmp_path / "0.wav")], None, Location(str(out)))
    (tmp_path / "0.wav").unlink()
    assert make().separate(lost).error == f"{tmp_path / '0.wav'}: no such file"


def test_parts_of_a_killed_worker_give_way(make: Make, songs: list[CatalogueSong], out: Path) -> None:
    folder = out / MODEL / "0"
    folder.mkdir(parents=True)
    (folder / ".onnx-demucs-0000.bass.wav").write_bytes(b"RIFF")
    assert not make().separate(songs[0]).error
    assert sorted(contents(folder)) == ["bass.wav", "drums.wav", "stems.json", "vocals.wav"]


def test_the_model_stays_in_the_cache(make: Make, artifact: Path, tmp_path: Path) -> None:
    make()
    [kept] = (tmp_path / "cache").rglob("tiny.onnx")
    assert kept.read_bytes() == artifact.read_bytes()
    model, _ = read_model(Location(str(artifact)))

    def never() -> dict[str, bytes]:
        raise AssertionError

    assert model.place(never) == kept
    kept.write_bytes(b"damaged")
    make()
    assert kept.read_bytes() == artifact.read_bytes()


def test_folders_of_dead_workers_are_removed(temporary: Path) -> None:
    with scratch("one") as lent:
        (temporary / f"{PREFIX}two-x").mkdir()
        (temporary / f"{PREFIX}two-x" / ".lock").touch()
        remove_left()
        assert left_over(temporary) == [lent.name]
    assert left_over(temporary) == []


def test_a_machine_without_openvino(
    make: Make, songs: list[CatalogueSong], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenVino, "is_available", False)
    outcome = make(replace(WISHES, runtime="openvino")).separate(songs[0])
    assert outcome.stops
    assert "cannot work: runtime openvino needs a package that is not installed" in outcome.error
