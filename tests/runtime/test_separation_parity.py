"""The runtime against demucs' own ``apply_model``, on the same model."""

from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from demucs.htdemucs import HTDemucs
from demucs_reference import GATE_DB, by_demucs, snr, stacked
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_model import TinyModel
from torch_twin import TorchTwin

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime import Separator, segments
from onnx_demucs_compiler.runtime.audio import BLOCK
from onnx_demucs_compiler.runtime.statistics import TrackStatistics


@cache
def separator_for(tiny: TinyModel, overlap: float) -> Separator:
    with TemporaryDirectory() as folder:
        return Separator(tiny.save(Path(folder) / "tiny.onnx"), threads=1, overlap=overlap)


@settings(max_examples=80, deadline=None)
@given(
    length=st.integers(1, 700),
    segment=st.sampled_from([199, 200]),
    channels=st.sampled_from([1, 2]),
    overlap=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.77, 0.9]),
    batch=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 2**32 - 1),
)
@example(length=1, segment=199, channels=2, overlap=0.25, batch=1, seed=0)
@example(length=200, segment=200, channels=2, overlap=0.25, batch=1, seed=0)
@example(length=201, segment=200, channels=2, overlap=0.0, batch=1, seed=0)
@example(length=151, segment=200, channels=1, overlap=0.25, batch=1, seed=0)
@example(length=1, segment=200, channels=2, overlap=0.25, batch=5, seed=0)
@example(length=300, segment=200, channels=2, overlap=0.25, batch=2, seed=0)
@example(length=301, segment=200, channels=2, overlap=0.25, batch=2, seed=0)
def test_equals_demucs(
    length: int, segment: int, channels: int, overlap: float, batch: int, seed: int
) -> None:
    tiny = TinyModel(channels, segment, batch=batch)
    mix = np.random.default_rng(seed).normal(0.1, 0.3, (channels, length)).astype(np.float32)
    stems = separator_for(tiny, overlap).separate(mix)
    assert list(stems) == list(tiny.sources)
    assert snr(by_demucs(TorchTwin(tiny), mix, overlap), stacked(stems)) > GATE_DB


@pytest.mark.parametrize("length", [1, 500, 11_999, 12_001, 30_000])
def test_cuts_as_demucs_does_for_htdemucs(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """HTDemucs pads to the length it was trained on by rules of its own; torch runs it on both sides here."""
    tiny = TinyModel(segment=12_000)
    torch.manual_seed(0)
    model = HTDemucs(
        list(tiny.sources),
        channels=8,
        nfft=2048,
        t_layers=1,
        segment=Fraction(3, 2),
        samplerate=tiny.sample_rate,
    ).eval()

    def run(mixes: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(mixes)).numpy()

    separator = separator_for(tiny, 0.25)
    monkeypatch.setattr(separator._graph, "run", run)
    mix = np.random.default_rng(0).normal(0.02, 0.1, (2, length)).astype(np.float32)
    assert snr(by_demucs(model, mix), stacked(separator.separate(mix))) > GATE_DB


def flat(size: int) -> np.ndarray:
    return np.ones(size, np.float32)


def pad_with_silence(segment: segments.Segment, audio: np.ndarray) -> np.ndarray:
    """The mistake of forgetting that the last segment's padding is real audio."""
    first = segment.start - segment.window[0]
    return np.pad(
        audio[:, first : first + segment.length],
        ((0, 0), (segment.left + first, segment.right + audio.shape[1] - first - segment.length)),
    )


@pytest.mark.parametrize(
    ("owner", "name", "mistake"),
    [
        (segments, "triangle", flat),
        (segments.Segment, "pad", pad_with_silence),
        (TrackStatistics, "restore", lambda self, audio, means: audio * self.scale),
        (TrackStatistics, "normalise", lambda self, audio: audio / self.scale),
    ],
)
def test_the_gate_notices(
    owner: object,
    name: str,
    mistake: object,
    tiny: TinyModel,
    separator: Separator,
    mix: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(owner, name, mistake)
    assert snr(by_demucs(TorchTwin(tiny), mix), stacked(separator.separate(mix))) < GATE_DB / 2


def test_statistics_of_blocks_are_those_of_the_track() -> None:
    track = np.random.default_rng(2).normal(3, 1e-3, (2, 5 * BLOCK + 17)).astype(np.float32)
    cuts = np.split(track, [1, 2, 1000, BLOCK, 3 * BLOCK], axis=1)
    mono = track.astype(np.float64).mean(axis=0)
    statistics = TrackStatistics.of(cuts)
    assert statistics.length == track.shape[1]
    assert statistics.mean == np.float32(mono.mean())
    assert statistics.scale == np.float32(mono.std(ddof=1)) + np.float32(1e-8)


@pytest.mark.parametrize("overlap", [-0.1, 1.0, float("nan"), 0.9999])
def test_impossible_overlaps(artifact: Path, overlap: float) -> None:
    with pytest.raises(UsageError, match="overlap"):
        Separator(artifact, overlap=overlap)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((1, 10)), r"should be \[2, samples\], and is \[1, 10\]"),
        (np.zeros(10), r"is \[10\]"),
        (np.zeros((2, 0)), r"is \[2, 0\]"),
        (np.zeros((1, 2, 10)), r"is \[1, 2, 10\]"),
        ([[0.0, 1.0], [0.0]], r"should be numbers \[2, samples\]"),
        ([["drums"]], r"should be numbers \[2, samples\]"),
        (np.array([[0, 0, 0], [0, 0, np.nan]]), "sample 2 of the mix is not a finite number"),
    ],
)
def test_bad_arrays(separator: Separator, bad: np.ndarray, message: str) -> None:
    with pytest.raises(CompilerError, match=message):
        separator.separate(bad)


def test_a_song_that_shrinks_between_passes() -> None:
    window = segments.SlidingWindow([np.zeros((2, 5), np.float32)] * 3)
    assert window.read(0, 12).shape == (2, 12)
    with pytest.raises(CompilerError, match="became shorter"):
        window.read(4, 16)


def test_progress_ends_at_the_end(separator: Separator, mix: np.ndarray) -> None:
    told: list[tuple[int, int]] = []
    separator.separate(mix, progress=lambda done, total: told.append((done, total)))
    assert told == [(750, 3210), (1500, 3210), (2250, 3210), (3000, 3210), (3210, 3210)]
