"""The clients of ``examples/`` do what ``onnx-demucs separate --float32`` does."""

import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import build_clients
import numpy as np
import onnx
import pytest
import soundfile
from build_clients import Client
from onnx import numpy_helper
from tiny_model import TinyModel
from tiny_track import save_track

from onnx_demucs_compiler.runtime import Encoding, Separator

RATE = 8000
SEGMENT = 1000
FLOAT32 = Encoding(float32=True)
LEAST_DB = 120


@cache
def built(name: str) -> Client | str:
    """A client, or the reason why it cannot be built here."""
    try:
        return build_clients.BUILDERS[name]()
    except build_clients.Missing as reason:
        return str(reason)


@pytest.fixture(scope="session", params=build_clients.BUILDERS)
def client(request: pytest.FixtureRequest) -> Client:
    found = built(request.param)
    if isinstance(found, str):
        pytest.skip(f"{request.param}: {found}")
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return TinyModel().save(tmp_path / "tiny.onnx")


def noise(length: int, channels: int = 2, level: float = 0.1, mean: float = 0.02) -> np.ndarray:
    return np.random.default_rng(1).normal(mean, level, (length, channels))


def write_song(folder: Path, samples: np.ndarray, subtype: str = "FLOAT", **options: str) -> Path:
    path = folder / "a söng.wav"
    soundfile.write(path, samples, RATE, subtype, **options)
    return path


def files(folder: Path) -> Iterator[tuple[Path, np.ndarray]]:
    for path in sorted(folder.rglob("*.wav")):
        assert soundfile.info(path).subtype == "FLOAT"
        yield path.relative_to(folder), soundfile.read(path, always_2d=True)[0]


def compare(client: Client, model: Path, song: Path, overlap: float | None = None) -> None:
    """Separate a song with the client and in Python, and compare every file."""
    theirs, ours = song.parent / "theirs", song.parent / "ours"
    Separator(model, overlap=overlap).separate_file(song, ours, encoding=FLOAT32)
    options = [] if overlap is None else ["--overlap", overlap]
    finished = client.run(model, song, theirs, *options)
    assert (finished.returncode, finished.stderr) == (0, "")
    found, expected = dict(files(theirs)), dict(files(ours))
    assert found.keys() == expected.keys()
    assert sorted(finished.stdout.splitlines()) == [str(theirs / path) for path in found]
    for path, stem in expected.items():
        assert found[path].shape == stem.shape
        assert snr(stem, found[path]) >= LEAST_DB, path


def snr(expected: np.ndarray, found: np.ndarray) -> float:
    """In dB; of what is to be silent, infinite where it is."""
    wrong, signal = np.square(expected - found).sum(), np.square(expected).sum()
    return math.inf if wrong == 0 else 10 * math.log10(signal / wrong) if signal else -math.inf


@pytest.mark.parametrize("length", [1, 2, 237, SEGMENT, SEGMENT + 1, 2345])
def test_any_length(client: Client, model: Path, tmp_path: Path, length: int) -> None:
    compare(client, model, write_song(tmp_path, noise(length)))


@pytest.mark.parametrize("overlap", [0, 0.5, 0.9])
def test_any_overlap(client: Client, tmp_path: Path, overlap: float) -> None:
    model = TinyModel(segment=997).save(tmp_path / "odd.onnx")
    compare(client, model, write_song(tmp_path, noise(2600)), overlap)


def test_silence(client: Client, model: Path, tmp_path: Path) -> None:
    compare(client, model, write_song(tmp_path, np.zeros((1500, 2))))


@pytest.mark.parametrize(("song", "model"), [(1, 2), (3, 2), (1, 1), (2, 1)])
def test_channels(client: Client, tmp_path: Path, song: int, model: int) -> None:
    path = TinyModel(channels=model).save(tmp_path / "channels.onnx")
    compare(client, path, write_song(tmp_path, noise(1700, song)))


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAVEX", "PCM_24"), ("WAVEX", "PCM_32"), ("WAVEX", "FLOAT")],
)
def test_sample_formats(client: Client, model: Path, tmp_path: Path, subtype: str, container: str) -> None:
    compare(client, model, write_song(tmp_path, noise(1200), subtype, format=container))


def test_stems_that_would_clip_are_rescaled(client: Client, model: Path, tmp_path: Path) -> None:
    compare(client, model, write_song(tmp_path, noise(2345, level=2)))


@pytest.mark.parametrize("method", ["add", "minus"])
def test_no_stem_gets_its_means_back(client: Client, tmp_path: Path, method: str) -> None:
    tiny = TinyModel(sources=("vocals", "no_vocals"))
    path = tiny.save(
        tmp_path / "two.onnx", other_method=method, model_sources=("drums", "bass", "other", "vocals")
    )
    compare(client, path, write_song(tmp_path, noise(1200, mean=0.3)))


@pytest.mark.parametrize("overlap", [None, 0.25])
def test_a_track_in_one_run(client: Client, tmp_path: Path, overlap: float | None) -> None:
    path = save_track(TinyModel(), tmp_path / "track.onnx")
    compare(client, path, write_song(tmp_path, noise(2345)), overlap)


def test_an_open_batch(client: Client, tmp_path: Path) -> None:
    path = TinyModel().save(tmp_path / "open.onnx", batch="dynamic")
    model = onnx.load(path)
    for port in (*model.graph.input, *model.graph.output):
        port.type.tensor_type.shape.dim[0].dim_param = "batch"
    [shape] = [tensor for tensor in model.graph.initializer if tensor.name == "shape"]
    shape.CopyFrom(numpy_helper.from_array(np.array([0, 3, 2, SEGMENT]), "shape"))
    onnx.save(model, path)
    compare(client, path, write_song(tmp_path, noise(1700)))


def test_names_are_made_safe(client: Client, tmp_path: Path) -> None:
    tiny = TinyModel(sources=("../a b", ".hidden", "größe"), name="../x/y?z")
    compare(client, tiny.save(tmp_path / "names.onnx"), write_song(tmp_path, noise(300)))


def refused(client: Client, *arguments: object, code: int = 1) -> str:
    """The one line that a client ends with."""
    finished = client.run(*arguments)
    assert finished.returncode == code
    assert finished.stdout == ""
    [line] = finished.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("overlap", ["1", "-0.1", "nan", "half", ""])
def test_overlap_out_of_range(client: Client, model: Path, tmp_path: Path, overlap: str) -> None:
    song = write_song(tmp_path, noise(300))
    assert "overlap" in refused(client, model, song, tmp_path / "out", "--overlap", overlap, code=2)
    assert not (tmp_path / "out").exists()


def test_usage(client: Client, model: Path) -> None:
    assert re.search(r"usage: \w+ MODEL.onnx SONG.wav OUTDIR", refused(client, model, code=2))
    assert "--nonsense" in refused(client, model, "a", "b", "--nonsense", code=2)


def test_another_overlap_than_the_track_graphs_own(client: Client, tmp_path: Path) -> None:
    path = save_track(TinyModel(), tmp_path / "track.onnx")
    song = write_song(tmp_path, noise(300))
    assert "built in" in refused(client, path, song, tmp_path / "out", "--overlap", 0.5, code=2)


def test_songs_that_are_refused(client: Client, model: Path, tmp_path: Path) -> None:
    song, out = tmp_path / "a söng.wav", tmp_path / "out"
    assert "no such file" in refused(client, model, song, out)
    song.write_bytes(b"no audio at all")
    assert "cannot be read" in refused(client, model, song, out)
    soundfile.write(song, noise(300), RATE + 1)
    assert f"has {RATE + 1} Hz, and the model takes {RATE} Hz" in refused(client, model, song, out)
    write_song(tmp_path, noise(0))
    assert "no audio" in refused(client, model, song, out)
    write_song(tmp_path, np.full((300, 2), math.nan))
    assert "finite" in refused(client, model, song, out)
    four = TinyModel(channels=4).save(tmp_path / "four.onnx")
    write_song(tmp_path, noise(300))
    assert "2 channels, and the model takes 4" in refused(client, four, song, out)
    assert not out.exists()


def test_models_that_are_refused(client: Client, model: Path, tmp_path: Path) -> None:
    song, out = write_song(tmp_path, noise(300)), tmp_path / "out"
    assert "no such file" in refused(client, tmp_path / "none.onnx", song, out)
    assert "error: " in refused(client, song, song, out)
    batch = TinyModel(batch=2).save(tmp_path / "batch.onnx")
    assert "--batch 1" in refused(client, batch, song, out)
    interface = TinyModel().save(tmp_path / "core.onnx", interface="core")
    assert "--interface waveform" in refused(client, interface, song, out)
    surrounded = TinyModel().save(tmp_path / "surrounded.onnx", interface="surrounded", context=9)
    assert "--length segment" in refused(client, surrounded, song, out)
    fading = TinyModel().save(tmp_path / "fading.onnx", fade_step=100)
    assert "fade into each other" in refused(client, fading, song, out)
    lacking = TinyModel().save(tmp_path / "lacking.onnx", sample_rate=0)
    assert "sample_rate" in refused(client, lacking, song, out)
    assert not out.exists()


def test_what_fails_leaves_the_old_stems(client: Client, model: Path, tmp_path: Path) -> None:
    """The song is where one of the stems would go."""
    folder = tmp_path / "out" / "untrained_tiny_seed=0" / "bass"
    folder.mkdir(parents=True)
    song = folder / "bass.wav"
    soundfile.write(song, noise(300), RATE, "FLOAT")
    (folder / "drums.wav").write_text("old")
    assert "overwrite" in refused(client, model, song, tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["bass.wav", "drums.wav"]
    assert (folder / "drums.wav").read_text() == "old"
