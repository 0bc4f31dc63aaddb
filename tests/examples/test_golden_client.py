"""The C++ client's own STFT against golden vectors."""

from pathlib import Path

import build_clients
import numpy as np
import pytest

from onnx_demucs_compiler.runtime.golden import write_golden


@pytest.fixture
def client() -> build_clients.Client:
    try:
        return build_clients.build_cpp("golden")
    except build_clients.Missing as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("n_fft", [64, 4096])
def test_its_stft_and_inverse(client: build_clients.Client, tmp_path: Path, n_fft: int) -> None:
    write_golden(tmp_path / "golden", n_fft)
    finished = client.run(tmp_path / "golden")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert [line.split(":")[0] for line in finished.stdout.splitlines()] == ["core", "spectral", "openkara"]


@pytest.mark.parametrize("changed", ["core/mag", "spectral/out_spec_imag", "openkara/separated"])
def test_another_stft_fails(client: build_clients.Client, tmp_path: Path, changed: str) -> None:
    write_golden(tmp_path / "golden", 64)
    path = tmp_path / "golden" / f"{changed}.npy"
    np.save(path, np.load(path) * np.float32(1.001))
    finished = client.run(tmp_path / "golden")
    assert (finished.returncode, finished.stderr) == (1, "error: the STFT is not that of the vectors\n")


def test_files_that_are_no_vectors(client: build_clients.Client, tmp_path: Path) -> None:
    for content in (None, b"", b"no numbers at all"):
        if content is not None:
            (tmp_path / "core").mkdir(exist_ok=True)
            (tmp_path / "core" / "mix.npy").write_bytes(content)
        finished = client.run(tmp_path)
        assert finished.returncode == 1
        [line] = finished.stderr.splitlines()
        assert "is no .npy file of float32" in line
