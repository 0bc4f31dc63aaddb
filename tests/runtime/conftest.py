from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import TinyModel

from onnx_demucs_compiler.runtime import Separator


@pytest.fixture(scope="session")
def tiny() -> TinyModel:
    return TinyModel()


@pytest.fixture(scope="session")
def artifact(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("artifact") / "tiny.onnx")


@pytest.fixture(scope="session")
def separator(artifact: Path) -> Separator:
    return Separator(artifact, threads=1)


@pytest.fixture
def mix() -> np.ndarray:
    """Three segments and a bit, and a mean for the normalisation to take away."""
    return np.random.default_rng(1).normal(0.02, 0.1, (2, 3210)).astype(np.float32)


@pytest.fixture
def song(mix: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    soundfile.write(path, mix.T, 8000, "FLOAT")
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
