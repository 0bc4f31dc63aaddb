"""The C++ client that separates while audio plays: stems a constant time late, whatever the blocks."""

import re
import subprocess
from functools import cache
from pathlib import Path

import build_clients
import numpy as np
import onnx
import pytest
import soundfile
from build_clients import Client
from tiny_model import TinyModel
from tiny_track import save_track

from onnx_demucs_compiler.artifact.external import split
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.ort import ort_format
from onnx_demucs_compiler.runtime import Separator
from onnx_demucs_compiler.runtime.segments import first_short, stride_of

ARTIFACT = Path(__file__).parents[1] / "fixtures" / "4c9b12d" / "artifacts" / "portable.onnx"
RATE, SEGMENT = 8000, 512
LEAST_DB = 120


class Unchanged(TinyModel):
    """Each stem is the mix, so that any sample tells which it was."""

    @property
    def kernel(self) -> np.ndarray:
        kernel = np.zeros_like(super().kernel)
        for output in range(len(kernel)):
            kernel[output, output % self.channels, kernel.shape[-1] // 2] = 1
        return kernel

    @property
    def envelope(self) -> np.ndarray:
        return np.ones(self.segment, np.float32)


@cache
def built() -> Client | str:
    try:
        return build_clients.build_cpp("stream")
    except build_clients.Missing as reason:
        return str(reason)


@pytest.fixture
def client() -> Client:
    found = built()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture
def song(tmp_path: Path) -> Path:
    samples = np.random.default_rng(2).normal(0.02, 0.1, (3100, 2))
    soundfile.write(tmp_path / "song.wav", samples, RATE, "FLOAT")
    return tmp_path / "song.wav"


def play(
    client: Client, model: Path, song: Path, *options: object
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """What the client states, and the stems ``[C, N]`` by name."""
    out = song.parent / "out"
    finished = client.run(model, song, out, *options)
    assert (finished.returncode, finished.stderr) == (0, "")
    stated = {
        name: int(count) for name, count in re.findall(r"^(\w+): (\d+) samples$", finished.stdout, re.M)
    }
    return stated, {path.stem: soundfile.read(path, dtype="float32")[0].T for path in out.rglob("*.wav")}


def expected(model: Path, song: Path, overlap: float) -> dict[str, np.ndarray]:
    """The stems of ``separate``, up to where the end of the song cuts its segments short."""
    samples = soundfile.read(song, dtype="float32")[0].T
    whole = first_short(samples.shape[1], SEGMENT, stride_of(SEGMENT, overlap))
    assert whole > 2 * SEGMENT
    return {
        name: stem[:, :whole] for name, stem in Separator(model, overlap=overlap).separate(samples).items()
    }


@pytest.mark.parametrize(
    ("blocks", "overlap", "budget"),
    [
        ("1", 0.25, None),
        ("64,1,997,3", 0.25, None),
        ("5000", 0.25, None),
        ("480", 0, None),
        ("480,7", 0.5, 100),
        ("33", 0.9, 0),
    ],
)
def test_the_stems_of_separate_a_latency_later(
    client: Client, song: Path, blocks: str, overlap: float, budget: int | None
) -> None:
    options = ["--blocks", blocks, "--overlap", overlap, *([] if budget is None else ["--budget", budget])]
    stated, stems = play(client, ARTIFACT, song, *options)
    within = max(stride_of(SEGMENT, overlap) if budget is None else budget, 1)
    assert stated == {"latency": SEGMENT + within, "underruns": 0, "lost": 0}
    for name, stem in expected(ARTIFACT, song, overlap).items():
        assert not stems[name][:, : stated["latency"]].any()
        late = stems[name][:, stated["latency"] :]
        assert late.shape[1] == 3100
        assert snr_db(stem, late[:, : stem.shape[1]]) >= LEAST_DB


def test_levels_of_segments_change_little(client: Client, song: Path) -> None:
    """HTDemucs normalises what it gets itself."""
    stated, stems = play(client, ARTIFACT, song, "--level", "segment")
    for name, stem in expected(ARTIFACT, song, 0.25).items():
        late = stems[name][:, stated["latency"] :][:, : stem.shape[1]]
        assert 40 < snr_db(stem, late) < LEAST_DB


def test_an_ort_file(client: Client, song: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.ort"
    model.write_bytes(ort_format(ARTIFACT))
    stated, stems = play(client, model, song)
    for name, stem in expected(model, song, 0.25).items():
        assert snr_db(stem, stems[name][:, stated["latency"] :][:, : stem.shape[1]]) >= LEAST_DB


def test_weights_in_a_second_file(client: Client, song: Path, tmp_path: Path) -> None:
    model = tmp_path / "two.onnx"
    graph, weights = split(onnx.load(ARTIFACT), "two.onnx.data")
    onnx.save(graph, model)
    model.with_name("two.onnx.data").write_bytes(weights)
    stated, stems = play(client, model, song)
    for name, stem in expected(ARTIFACT, song, 0.25).items():
        assert snr_db(stem, stems[name][:, stated["latency"] :][:, : stem.shape[1]]) >= LEAST_DB


def test_in_real_time(client: Client, tmp_path: Path) -> None:
    """A second of time to run a model in that takes a millisecond."""
    path = Unchanged().save(tmp_path / "unchanged.onnx")
    samples = np.random.default_rng(3).normal(0, 0.1, (2 * RATE, 2)).astype(np.float32)
    soundfile.write(tmp_path / "song.wav", samples, RATE, "FLOAT")
    stated, stems = play(client, path, tmp_path / "song.wav", "--live", 1, "--budget", RATE)
    assert stated == {"latency": 1000 + RATE, "underruns": 0, "lost": 0}
    for stem in stems.values():
        np.testing.assert_allclose(stem[:, stated["latency"] :], samples.T, atol=1e-6)


@pytest.mark.parametrize("speed", [100, 1000])
def test_a_late_worker_leaves_silence_and_no_shift(client: Client, tmp_path: Path, speed: int) -> None:
    """A stride takes less time than the worker waits before it looks for work."""
    path = Unchanged(segment=1000).save(tmp_path / "unchanged.onnx")
    samples = np.random.default_rng(3).normal(0, 0.1, (40_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "song.wav", samples, RATE, "FLOAT")
    options = ["--live", speed, "--budget", 300, "--blocks", 256]
    stated, stems = play(client, path, tmp_path / "song.wav", *options)
    assert stated["underruns"] > 0
    assert stated["lost"] > 0 or speed == 100
    for stem in stems.values():
        late = stem[:, stated["latency"] :]
        silent = (np.abs(late) < 1e-9).all(axis=0)
        np.testing.assert_allclose(late[:, ~silent], samples.T[:, ~silent], atol=1e-6)
        least = max(stated["underruns"], stated["lost"] - stated["latency"])
        assert least <= silent.sum() <= stated["underruns"] + stated["lost"]


def test_the_callback_allocates_nothing_and_asks_nothing_of_the_system(
    client: Client, tmp_path: Path
) -> None:
    """Its thread dies at the first system call; allocations and locks are counted."""
    root, program = build_clients.onnxruntime_root(), tmp_path / "callback"
    [header] = (root / "include").rglob("onnxruntime_cxx_api.h")
    [library] = (root / "lib").glob("libonnxruntime.so")
    source = Path(__file__).with_name("callback.cpp")
    folders = [f"-I{build_clients.CPP}", f"-I{header.parent}", f"-Wl,-rpath,{library.parent}"]
    words = ["c++", "-std=c++20", "-O1", *folders, source, "-o", program, library, "-pthread", "-ldl"]
    subprocess.run(words, check=True)
    path = Unchanged(segment=1000).save(tmp_path / "unchanged.onnx")
    finished = subprocess.run([program, path], capture_output=True, text=True, timeout=120, check=False)
    assert finished.stdout == "heard, 0 allocations, 0 locks\n", finished.stderr
    caught = subprocess.run(
        [program, path, "wrong"], capture_output=True, text=True, timeout=120, check=False
    )
    counted = re.fullmatch(r"heard, [1-9]\d* allocations, [1-9]\d* locks\n", caught.stdout)
    assert counted or caught.stdout == "the callback asked the system\n"


def test_models_and_options_that_are_refused(client: Client, song: Path, tmp_path: Path) -> None:
    def refused(model: Path, *options: object) -> tuple[int, str]:
        finished = client.run(model, song, tmp_path / "out", *options)
        assert finished.stdout == ""
        [line] = finished.stderr.splitlines()
        assert not (tmp_path / "out").exists()
        return finished.returncode, line

    track = save_track(TinyModel(), tmp_path / "track.onnx")
    assert refused(track) == (
        1,
        "error: the model takes whole tracks, and not a stream; compile it without --track",
    )
    for option, values in {
        "--blocks": ["", "0", "64,,7", "half"],
        "--overlap": ["1", "-0.1", "nan"],
        "--budget": ["-1", "x"],
        "--level": ["album"],
        "--live": ["0", "inf", "-1"],
    }.items():
        for value in values:
            code, line = refused(ARTIFACT, option, value)
            assert code == 2
            assert f"error: {option} takes" in line
    assert refused(ARTIFACT, "--nonsense") == (2, "error: no such option: --nonsense")
