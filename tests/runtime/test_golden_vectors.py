"""Golden vectors, against a client that is written by their README alone, and against demucs."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime.golden import check_golden, vectors, write_golden

N_FFT = 256
GATE_DB = 130
CUTS = {
    "core": ("mix", ["mag"], ["spec_out"], "time_out"),
    "spectral": ("audio", ["spec_real", "spec_imag"], ["out_spec_real", "out_spec_imag"], "out_wave"),
    "openkara": ("mix", ["spectral"], ["spectral_out"], "time_out"),
}
"""By interface: the mix, its spectrum, the spectrum of stems, their waveforms."""


@pytest.fixture
def golden(tmp_path: Path) -> dict[str, np.ndarray]:
    """The files as a client reads them, in float64."""
    write_golden(tmp_path / "golden", N_FFT)
    return {
        path.relative_to(tmp_path / "golden").with_suffix("").as_posix(): np.load(path).astype(np.float64)
        for path in (tmp_path / "golden").rglob("*.npy")
    }


def window() -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)


def forward(mix: np.ndarray) -> np.ndarray:
    """Complex ``[…, F, T]``."""
    hop, lead, samples = N_FFT // 4, N_FFT // 4 // 2 * 3, mix.shape[-1]
    frames = -(-samples // hop)
    edges = [(0, 0)] * (mix.ndim - 1) + [(lead, lead + frames * hop - samples)]
    padded = np.pad(mix, edges, mode="reflect")
    parts = [padded[..., t * hop : t * hop + N_FFT] * window() for t in range(frames)]
    return np.stack([np.fft.rfft(part)[..., :-1] / np.sqrt(N_FFT) for part in parts], axis=-1)


def inverse(spectrum: np.ndarray, samples: int) -> np.ndarray:
    hop, lead = N_FFT // 4, N_FFT // 4 // 2 * 3
    audio = np.zeros((*spectrum.shape[:-2], spectrum.shape[-1] * hop + N_FFT))
    for t in range(spectrum.shape[-1]):
        frame = np.fft.irfft(spectrum[..., t], N_FFT) * np.sqrt(N_FFT) * window()
        audio[..., t * hop : t * hop + N_FFT] += frame / 1.5
    return audio[..., lead : lead + samples]


def complex_of(arrays: list[np.ndarray], interface: str) -> np.ndarray:
    """``[…, C, F, T]`` of one array or two."""
    if interface == "core":
        return arrays[0][..., ::2, :, :] + 1j * arrays[0][..., 1::2, :, :]
    if interface == "openkara":
        return arrays[0][..., 0, :, :] + 1j * arrays[0][..., 1, :, :]
    return arrays[0] + 1j * arrays[1]


@pytest.mark.parametrize("interface", CUTS)
def test_a_client_by_the_readme(golden: dict[str, np.ndarray], interface: str) -> None:
    mix, spectrum, stems, waveform = CUTS[interface]
    wanted = complex_of([golden[f"{interface}/{name}"] for name in spectrum], interface)
    assert snr_db(_parts(wanted), _parts(forward(golden[f"{interface}/{mix}"]))) > GATE_DB
    given = complex_of([golden[f"{interface}/{name}"] for name in stems], interface)
    time = golden[f"{interface}/{waveform}"]
    found = inverse(given, time.shape[-1]) + time
    assert snr_db(golden[f"{interface}/separated"], found) > GATE_DB


def _parts(spectrum: np.ndarray) -> np.ndarray:
    return np.stack([spectrum.real, spectrum.imag])


@pytest.mark.torch
@pytest.mark.parametrize("interface", CUTS)
def test_demucs_itself(golden: dict[str, np.ndarray], interface: str) -> None:
    import torch
    from demucs.hdemucs import HDemucs

    demucs = HDemucs(["drums"], channels=4, nfft=N_FFT, depth=2)
    mix, spectrum, stems, waveform = CUTS[interface]
    wanted = demucs._spec(torch.from_numpy(golden[f"{interface}/{mix}"])).numpy()
    made = complex_of([golden[f"{interface}/{name}"] for name in spectrum], interface)
    assert snr_db(_parts(wanted), _parts(made)) > GATE_DB
    given = torch.from_numpy(complex_of([golden[f"{interface}/{name}"] for name in stems], interface))
    time = golden[f"{interface}/{waveform}"]
    found = demucs._ispec(given, time.shape[-1]).numpy() + time
    assert snr_db(found, golden[f"{interface}/separated"]) > GATE_DB


def test_segments_by_the_readme(golden: dict[str, np.ndarray]) -> None:
    song, mixes, estimates = (golden[f"waveform/{name}"] for name in ("song", "mix", "stems"))
    size, length = mixes.shape[-1], song.shape[-1]
    stride = size * 3 // 4
    mono = song.mean(axis=0)
    level = mono.std(ddof=1) + 1e-8
    rising = np.minimum(np.arange(size) + 1, size - np.arange(size)) / (size / 2)
    total, weights = np.zeros((*estimates.shape[1:3], length)), np.zeros(length)
    found = []
    for start, estimate in zip(range(0, length, stride), estimates, strict=True):
        left = min(size, length - start)
        begin = start - (size - left) // 2
        surrounded = np.pad((song - mono.mean()) / level, [(0, 0), (0, size)])
        found.append(surrounded[:, begin : begin + size])
        total[..., start : start + left] += rising[:left] * estimate[..., start - begin :][..., :left]
        weights[start : start + left] += rising[:left]
    assert snr_db(mixes, np.stack(found)) > GATE_DB
    assert snr_db(golden["waveform/separated"], total / weights * level + mono.mean()) > GATE_DB


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_golden(tmp_path / name, 64)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 22
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_numbers_stay(golden: dict[str, np.ndarray]) -> None:
    """Clients keep copies: a later release must not change what they hold."""
    assert golden["core/mix"][0, 0, :3].astype(np.float32).tolist() == FIRST
    assert abs(golden["core/mag"][0, 0, 0, 0] - FIRST_BIN) < 1e-6


FIRST = [0.19640523195266724, 0.060015719383955, 0.11787379533052444]
FIRST_BIN = 0.22628036


def test_the_readme_has_every_file(tmp_path: Path) -> None:
    text = write_golden(tmp_path / "golden").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\S+)\.npy` \| \[(.+?)\] \|", text, re.MULTILINE))
    assert rows == {name: ", ".join(map(str, array.shape)) for name, array in vectors(4096).items()}
    assert sum(path.stat().st_size for path in (tmp_path / "golden").rglob("*.npy")) < 2_000_000
    assert "$" not in text


@pytest.mark.parametrize("n_fft", [-4, 0, 8, 100, 1 << 17])
def test_transforms_that_are_refused(tmp_path: Path, n_fft: int) -> None:
    with pytest.raises(UsageError, match=f"power of two .* and not {n_fft}"):
        write_golden(tmp_path / "golden", n_fft)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "golden"
    write_golden(folder, 16)
    with pytest.raises(UsageError, match="golden exists; give --force"):
        write_golden(folder, 16)
    write_golden(folder, 32, force=True)
    (folder / "core" / "song.wav").write_bytes(b"precious")
    with pytest.raises(UsageError, match="holds more than golden vectors"):
        write_golden(folder, 32, force=True)
    with pytest.raises(CompilerError, match="does not exist"):
        check_golden(tmp_path / "absent" / "golden", 32, force=False)
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(UsageError, match="holds more than golden vectors"):
        write_golden(tmp_path / "file", 32, force=True)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CompilerError, match="No space left"):
        write_golden(tmp_path / "golden", 16)
    assert list(tmp_path.iterdir()) == []
