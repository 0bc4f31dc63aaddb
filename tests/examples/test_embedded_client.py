"""A program that has its model in itself separates as ``separate`` does."""

import subprocess
from pathlib import Path

import build_clients
import numpy as np
import pytest
import soundfile

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.ort import embedded, ort_format, write_embedded
from onnx_demucs_compiler.runtime import Encoding, Separator

ARTIFACT = Path(__file__).parents[1] / "fixtures" / "4c9b12d" / "artifacts" / "portable.onnx"
LEAST_DB = 120


def cmake(*arguments: object) -> None:
    subprocess.run(["cmake", *map(str, arguments)], check=True, capture_output=True)


def test_array_and_assembler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        build_clients.build_cpp()
    except build_clients.Missing as reason:
        pytest.skip(str(reason))
    song, model, build = tmp_path / "song.wav", tmp_path / "model.ort", tmp_path / "build"
    soundfile.write(song, np.random.default_rng(0).normal(0.02, 0.1, (1400, 2)), 8000, "FLOAT")
    model.write_bytes(ort_format(ARTIFACT))
    Separator(model).separate_file(song, tmp_path / "ours", encoding=Encoding(float32=True))
    for kind, largest in {"array": model.stat().st_size, "assembler": 0}.items():
        monkeypatch.setattr(embedded, "LARGEST_ARRAY", largest)
        write_embedded(tmp_path / "plugin", model.read_bytes(), "model", force=True)
        cmake("-S", build_clients.CPP, "-B", build, f"-DEMBEDDED={tmp_path / 'plugin'}",
              f"-DONNXRUNTIME_ROOT={build_clients.onnxruntime_root()}")  # fmt: skip
        cmake("--build", build, "--target", "embedded")
        for copy in (0, 1):
            theirs = tmp_path / f"{kind}-{copy}"
            words = [build / "embedded", song, theirs, "--copy", str(copy)]
            subprocess.run(words, check=True, capture_output=True)
            for stem in (tmp_path / "ours").rglob("*.wav"):
                found = theirs / stem.relative_to(tmp_path / "ours")
                assert snr_db(soundfile.read(stem)[0], soundfile.read(found)[0]) >= LEAST_DB
