"""Songs of more than two channels: which are taken, what is said of the others, and the mix of all."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import run
from tiny_model import TinyModel

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.runtime import Encoding, Separator, audio
from onnx_demucs_compiler.runtime.audio import check_song, read_blocks

RATE = 8000
HALF = 0.5**0.5
FLOAT = Encoding(float32=True, clip_mode="none")


def surround(channels: int) -> np.ndarray:
    """Loud enough for a mix of them to go beyond full scale."""
    return np.random.default_rng(channels).uniform(-0.9, 0.9, (channels, 3210)).astype(np.float32)


def write(path: Path, channels: int, form: str = "WAV", mask: int | None = None) -> Path:
    subtype = "VORBIS" if form == "OGG" else "PCM_24" if form == "FLAC" else "FLOAT"
    soundfile.write(path, surround(channels).T, RATE, subtype, format=form)
    if mask is not None:
        content = bytearray(path.read_bytes())
        struct.pack_into("<I", content, content.index(b"fmt ") + 28, mask)
        path.write_bytes(content)
    return path


LAYOUTS = {
    "3.0": (3, "WAV", None, "left, right, centre, in the usual order"),
    "quad": (4, "FLAC", None, "left, right, rear left, rear right"),
    "5.0": (5, "WAV", None, "left, right, centre, rear left, rear right, in the usual order"),
    "5.1": (6, "WAV", None, "left, right, centre, LFE, rear left, rear right, in the usual order"),
    "5.1 of FLAC": (6, "FLAC", None, "left, right, centre, LFE, rear left, rear right"),
    "6.1": (7, "FLAC", None, "left, right, centre, LFE, rear centre, side left, side right"),
    "7.1": (8, "FLAC", None, "left, right, centre, LFE, rear left, rear right, side left, side right"),
    "5.1 of a mask": (6, "WAVEX", 0x60F, "left, right, centre, LFE, side left, side right"),
    "4.0 of a mask": (4, "WAVEX", 0x107, "left, right, centre, rear centre"),
    "wide of a mask": (5, "RF64", 0xC7, "left, right, centre, left of centre, right of centre"),
    "an empty mask": (3, "WAVEX", 0, "left, right, centre, in the usual order"),
    "5.1 of AIFF": (6, "AIFF", None, "left, right, centre, LFE, rear left, rear right, in the usual order"),
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_channels_left_out_are_named(layout: str, tmp_path: Path) -> None:
    channels, form, mask, names = LAYOUTS[layout]
    path = write(tmp_path / "song", channels, form, mask)
    assert check_song(path, 2) == [
        f"{path}: has {channels} channels ({names}), of which only left and right are taken; separate with "
        "--downmix mixes all of them"
    ]
    assert check_song(path, 2, downmix=True) == []
    assert check_song(path, 1) == []


def test_vorbis_has_the_centre_second(tmp_path: Path) -> None:
    [warning] = check_song(write(tmp_path / "song", 6, "OGG"), 2)
    assert "(left, centre, right, rear left, rear right, LFE), of which only left and centre" in warning


@pytest.mark.parametrize("channels", [9, 12])
def test_channels_of_no_layout(channels: int, tmp_path: Path) -> None:
    path = write(tmp_path / "song", channels)
    [warning] = check_song(path, 2)
    assert warning == (
        f"{path}: has {channels} channels, of which only the first 2 are taken; mix it beforehand to keep "
        "the others"
    )
    with pytest.raises(UsageError, match=f"its {channels} channels are of no known layout"):
        check_song(path, 2, downmix=True)


def test_a_mask_of_heights_is_no_known_layout(tmp_path: Path) -> None:
    """And not taken for the usual order of so many channels."""
    path = write(tmp_path / "song", 4, "WAVEX", 0x5003)
    [warning] = check_song(path, 2)
    assert "has 4 channels, of which only the first 2 are taken" in warning
    with pytest.raises(UsageError, match="of no known layout"):
        check_song(path, 2, downmix=True)


@pytest.mark.parametrize(("channels", "model"), [(2, 2), (1, 2), (4, 4), (2, 1)])
def test_nothing_is_said_where_nothing_is_left_out(channels: int, model: int, tmp_path: Path) -> None:
    path = write(tmp_path / "song", channels)
    assert check_song(path, model) == []
    assert check_song(path, model, downmix=True) == []


def test_nobody_mixes_six_channels_to_four(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--downmix makes one channel or two, and the model takes 4"):
        check_song(write(tmp_path / "song", 6), 4, downmix=True)


MIXES = {
    "3.0": [[1, 0, HALF], [0, 1, HALF]],
    "quad": [[1, 0, HALF, 0], [0, 1, 0, HALF]],
    "5.1": [[1, 0, HALF, 0, HALF, 0], [0, 1, HALF, 0, 0, HALF]],
    "5.1 of a mask": [[1, 0, HALF, 0, HALF, 0], [0, 1, HALF, 0, 0, HALF]],
    "4.0 of a mask": [[1, 0, HALF, 0.5], [0, 1, HALF, 0.5]],
    "wide of a mask": [[1, 0, HALF, 1, 0], [0, 1, HALF, 0, 1]],
    "7.1": [[1, 0, HALF, 0, HALF, 0, HALF, 0], [0, 1, HALF, 0, 0, HALF, 0, HALF]],
}


@pytest.mark.parametrize("layout", list(MIXES))
@pytest.mark.parametrize("block", [97, 1 << 16])
def test_downmix(layout: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unscaled: the mix goes beyond full scale, and no channel is clipped on the way."""
    monkeypatch.setattr(audio, "BLOCK", block)
    channels, form, mask, _ = LAYOUTS[layout]
    path = write(tmp_path / "song", channels, form, mask)
    wanted = np.array(MIXES[layout]) @ surround(channels)
    assert np.abs(wanted).max() > 1.2
    mixed = np.concatenate(list(read_blocks(path, RATE, 2, downmix=True)), axis=1)
    np.testing.assert_allclose(mixed, wanted, atol=1e-6)
    mono = np.concatenate(list(read_blocks(path, RATE, 1, downmix=True)), axis=1)
    np.testing.assert_allclose(mono, HALF * wanted.sum(axis=0, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("model", [1, 2])
def test_mono_and_stereo_stay_as_they_are(channels: int, model: int, tmp_path: Path) -> None:
    path = write(tmp_path / "song", channels)
    plain, mixed = (
        np.concatenate(list(read_blocks(path, RATE, model, downmix=downmix)), axis=1)
        for downmix in (False, True)
    )
    np.testing.assert_array_equal(mixed, plain)


def test_separate_with_downmix(separator: Separator, tmp_path: Path) -> None:
    path = write(tmp_path / "song.wav", 6)
    mix = (np.array(MIXES["5.1"]) @ surround(6)).astype(np.float32)
    result = separator.separate_file(
        path, tmp_path, encoding=FLOAT, two_stems="bass", other_method="minus", downmix=True
    )
    bass = separator.separate(mix)["bass"]
    for name, wanted in {"bass": bass, "minus_bass": mix - bass}.items():
        found = soundfile.read(result.files[name], dtype="float32")[0].T
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert result.warnings == ()


def test_the_warning_comes_once(artifact: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "song.wav", 6)
    result = run("separate", artifact, path, "-o", tmp_path / "out")
    [line] = result.stderr.splitlines()
    assert line.startswith(f"warning: {path}: has 6 channels (left, right, centre, LFE,")
    assert result.exit_code == 0
    assert run("separate", artifact, path, "-o", tmp_path / "out", "--quiet").stderr == ""
    printed = json.loads(run("separate", artifact, path, "-o", tmp_path / "out", "--json").stdout)
    assert len(printed["songs"][0]["warnings"]) == 1
    assert run("separate", artifact, path, "-o", tmp_path / "out", "--downmix").stderr == ""


def test_what_cannot_be_mixed_is_refused_before_any_song(artifact: Path, song: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "many.wav", 9)
    result = run("separate", artifact, song, path, "-o", tmp_path / "out", "--downmix")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_model_of_one_channel(tmp_path: Path) -> None:
    separator = Separator(TinyModel(channels=1).save(tmp_path / "mono.onnx"))
    path = write(tmp_path / "song.wav", 6)
    mix = HALF * (np.array(MIXES["5.1"]) @ surround(6)).sum(axis=0, keepdims=True)
    files = separator.separate_file(path, tmp_path, encoding=FLOAT, downmix=True).files
    found = soundfile.read(files["bass"], dtype="float32")[0]
    np.testing.assert_allclose(found, separator.separate(mix)["bass"][0], atol=1e-5)
