"""Passes over a song that begin at other times, averaged as demucs averages them."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import run
from demucs_reference import GATE_DB, by_demucs, snr, stacked
from tiny_model import TinyModel
from torch_twin import TorchTwin

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.runtime import Separator
from onnx_demucs_compiler.runtime.shifts import Shifts

TINY = TinyModel(segment=2000)


def averaged(mix: np.ndarray, shifts: int, seed: int) -> np.ndarray:
    """What demucs computes after ``random.seed(seed)``."""
    random.seed(seed)
    return by_demucs(TorchTwin(TINY), mix, shifts=shifts)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TINY.save(tmp_path_factory.mktemp("shifts") / "tiny.onnx")


def song(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).normal(0.1, 0.3, (2, samples)).astype(np.float32)


@pytest.mark.parametrize(("samples", "shifts", "seed"), [(1500, 1, 0), (9000, 2, 7), (30_001, 3, 1)])
def test_stems_are_the_average_of_demucs(artifact: Path, samples: int, shifts: int, seed: int) -> None:
    mix = song(samples)
    stems = stacked(Separator(artifact, threads=1, shifts=shifts, seed=seed).separate(mix))
    assert snr(averaged(mix, shifts, seed), stems) > GATE_DB
    assert snr(averaged(mix, shifts, seed + 1), stems) < GATE_DB / 2


def test_progress_ends_at_the_end(artifact: Path) -> None:
    told: list[tuple[int, int]] = []
    Separator(artifact, threads=1, shifts=2).separate(
        song(3200), progress=lambda done, total: told.append((done, total))
    )
    assert told == [(1500, 3200), (3000, 3200), (3200, 3200)]


@pytest.mark.parametrize("count", [-1, 101])
def test_what_is_no_number_of_passes(count: int) -> None:
    with pytest.raises(UsageError, match="give a whole number from 0 to 100"):
        Shifts(count)


def test_segments_that_fade_have_no_shifts(tmp_path: Path) -> None:
    model = TINY.save(tmp_path / "tiny.onnx", fade_step=100)
    with pytest.raises(UsageError, match="fades its segments into each other.*leave them out"):
        Separator(model, threads=1, shifts=1)


def test_resume_knows_the_shifts(artifact: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", song(9000).T, TINY.sample_rate, "FLOAT")

    def skipped(*options: object) -> bool:
        asked = ["separate", artifact, tmp_path / "song.wav", "-o", tmp_path / "out", "--resume", "--json"]
        result = run(*asked, *options)
        assert result.exit_code == 0, result.stderr
        told: bool = json.loads(result.stdout)["songs"][0]["skipped"]
        return told

    assert not skipped("--shifts", 2)
    assert skipped("--shifts", 2, "--seed", 0)
    assert not skipped("--shifts", 2, "--seed", 1)
    assert not skipped()


def test_a_seed_without_shifts(artifact: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", song(9000).T, TINY.sample_rate)
    result = run("separate", artifact, tmp_path / "song.wav", "-o", tmp_path / "out", "--seed", 1)
    assert (result.exit_code, "--seed goes with --shifts" in result.stderr) == (2, True)
