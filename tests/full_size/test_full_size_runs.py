"""The artifact of htdemucs at work: a song of 12 seconds, and a runtime of 2023.

Three minutes of song, with time and memory, are measured in ``benchmarks/``.
"""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from demucs.apply import apply_model
from full_size_examples import Artifact

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import run_eager
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.options import DEFAULT_OPSET, OPSETS
from onnx_demucs_compiler.runtime import Separator
from onnx_demucs_compiler.runtime.session import create_session
from onnx_demucs_compiler.stages.opset import restate_in_opset

pytestmark = pytest.mark.full_size

MIN_SNR_DB = 110

OLD_RUNTIME = "onnxruntime==1.15.1"
RUN = """
import sys
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.enable_mem_pattern = False
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
[stems] = session.run(None, {"mix": numpy.load(sys.argv[2])})
numpy.save(sys.argv[3], stems)
print(onnxruntime.__version__)
"""


def by_demucs(model: torch.nn.Module, mix: np.ndarray) -> np.ndarray:
    """What ``demucs.api.Separator.separate_tensor`` computes without random shifts."""
    wav = torch.from_numpy(mix)
    ref = wav.mean(0)
    wav = (wav - ref.mean()) / (ref.std() + 1e-8)
    estimates = apply_model(model, wav[None], shifts=0, overlap=0.25)[0]
    return (estimates * (ref.std() + 1e-8) + ref.mean()).numpy()


def test_separates_a_song_as_demucs_does(htdemucs: Artifact) -> None:
    # Off centre and not at full scale, so that the normalisation has something to do.
    song = 0.5 * synthetic_song(12 * 44100 + 123, seed=7) + np.float32(0.01)
    stems = Separator(htdemucs.path).separate(song)
    assert tuple(stems) == htdemucs.source.sources
    assert too_far(by_demucs(htdemucs.source.module, song), np.stack(list(stems.values())), 90) == {}


def too_far(wanted: np.ndarray, found: np.ndarray, min_snr_db: float) -> dict[int, float]:
    """The stems ``[S, C, N]`` that differ by more, with the SNR they reach."""
    reached = {index: snr_db(*stems) for index, stems in enumerate(zip(wanted, found, strict=True))}
    return {index: round(snr, 1) for index, snr in reached.items() if not snr >= min_snr_db}


@pytest.fixture(scope="module")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python in a virtual environment of its own, with an ONNX Runtime of June 2023."""
    if sys.version_info >= (3, 12):
        pytest.skip(f"{OLD_RUNTIME} has wheels for Python 3.11 and older; this is {sys.version.split()[0]}")
    folder = tmp_path_factory.mktemp("old-runtime")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [python, "-m", "pip", "install", "--quiet", "--retries", "1", "--timeout", "30"]
    installed = subprocess.run(
        [*pip, "--only-binary", ":all:", OLD_RUNTIME, "numpy<2"], capture_output=True, text=True
    )
    if installed.returncode:
        reason = (installed.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"pip cannot install {OLD_RUNTIME}: {reason}")
    return python


@pytest.fixture(scope="module")
def mix() -> np.ndarray:
    return synthetic_song(343980, seed=3)[None]


@pytest.fixture(scope="module")
def exact(htdemucs: Artifact, mix: np.ndarray) -> np.ndarray:
    """Stems in float64."""
    double = copy.deepcopy(htdemucs.source.module).double()
    [[stems]] = run_eager(double, (torch.from_numpy(mix).double(),))
    return stems


@pytest.mark.parametrize("opset", [OPSETS[0], DEFAULT_OPSET])
def test_gives_the_same_output_in_an_old_runtime(
    htdemucs: Artifact, old_python: Path, tmp_path: Path, mix: np.ndarray, exact: np.ndarray, opset: int
) -> None:
    model = ir.load(htdemucs.path)
    restate_in_opset(model, opset)
    ir.save(model, tmp_path / "old.onnx")
    np.save(tmp_path / "mix.npy", mix)
    arguments = [tmp_path / "old.onnx", tmp_path / "mix.npy", tmp_path / "stems.npy"]
    ran = subprocess.run([old_python, "-I", "-c", RUN, *arguments], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [OLD_RUNTIME.partition("==")[2]]
    [old] = np.load(tmp_path / "stems.npy")
    # Rounding alone: a runtime is 118 dB from itself with its optimisations off, and 113 dB from float64.
    [[new]] = create_session(htdemucs.path).run(["stems"], {"mix": mix})
    assert too_far(new, old, MIN_SNR_DB) == {}
    assert too_far(exact, old, MIN_SNR_DB) == {}
