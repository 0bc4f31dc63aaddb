"""Songs in, stems out: formats, channels, rates, clip handling, names."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_model import TinyModel

from onnx_demucs_compiler.errors import CompilerError, UsageError
from onnx_demucs_compiler.runtime import Encoding, Separator, audio, encoding
from onnx_demucs_compiler.runtime.encoding import ClipMode, RawStem
from onnx_demucs_compiler.runtime.output import safe_name

FLOAT = Encoding(float32=True, clip_mode="none")


def read(path: Path, dtype: str = "float32") -> np.ndarray:
    return soundfile.read(path, dtype=dtype, always_2d=True)[0].T


@pytest.mark.parametrize("block", [97, 1000, 1 << 16])
def test_streaming_equals_memory(
    block: int, separator: Separator, song: Path, mix: np.ndarray, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "BLOCK", block)
    monkeypatch.setattr(encoding, "BLOCK", block)
    result = separator.separate_file(song, out, encoding=FLOAT)
    stems = separator.separate(mix)
    assert result.files == {name: out / "untrained_tiny_seed=0" / "song" / f"{name}.wav" for name in stems}
    assert result.audio_seconds == mix.shape[1] / 8000
    for name, stem in stems.items():
        np.testing.assert_allclose(read(result.files[name]), stem, rtol=0, atol=1e-7)


@pytest.mark.torch
@pytest.mark.parametrize("clip_mode", ["rescale", "clamp", "none"])
@pytest.mark.parametrize("gain", [0.1, 0.98, 3.0])
@pytest.mark.parametrize(("form", "float32"), [("wav", False), ("wav", True), ("flac", False)])
def test_samples_are_those_of_demucs(
    form: encoding.Format, float32: bool, gain: float, clip_mode: ClipMode, tmp_path: Path
) -> None:
    import torch
    from demucs.audio import save_audio

    stem = np.random.default_rng(3).uniform(-gain, gain, (2, 5000)).astype(np.float32)
    raw = RawStem(tmp_path / "stem.f32", channels=2)
    for block in np.array_split(stem, 7, axis=1):
        raw.append(block)
    ours, theirs = tmp_path / f"ours.{form}", tmp_path / "theirs.wav"
    raw.encode(ours, 44100, Encoding(form, float32, clip_mode))
    save_audio(torch.from_numpy(stem), theirs, 44100, clip=clip_mode, as_float=float32)
    assert soundfile.info(ours).subtype == soundfile.info(theirs).subtype
    dtype = "float32" if float32 else "int16"
    # demucs clamps floats to full scale, which no format asks for.
    wanted = stem if float32 and clip_mode == "none" else read(theirs, dtype)
    np.testing.assert_array_equal(read(ours, dtype), wanted)
    assert not raw.path.exists()


def test_long_wavs_are_rf64() -> None:
    ten_hours = 10 * 3600 * 44100 * 2
    assert Encoding().container(ten_hours // 10) == "WAV"
    assert Encoding().container(ten_hours) == "RF64"
    assert Encoding(float32=True).container(ten_hours // 2) == "RF64"
    assert Encoding("flac").container(ten_hours) == "FLAC"


def test_rf64_holds_the_same_samples(
    separator: Separator, song: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {name: read(file) for name, file in separator.separate_file(song, out).files.items()}
    monkeypatch.setattr(encoding, "WAV_LIMIT", 1000)
    for name, file in separator.separate_file(song, out).files.items():
        assert soundfile.info(file).format == "RF64"
        np.testing.assert_array_equal(read(file), short[name])


def test_flac_has_no_float_samples() -> None:
    with pytest.raises(UsageError, match="flac"):
        Encoding("flac", float32=True)


def test_two_stems_by_addition(separator: Separator, song: Path, out: Path) -> None:
    every = separator.separate_file(song, out, encoding=FLOAT).files
    files = separator.separate_file(song, out, encoding=FLOAT, two_stems="bass").files
    assert list(files) == ["bass", "no_bass"]
    np.testing.assert_array_equal(read(files["no_bass"]), read(every["drums"]) + read(every["vocals"]))


def test_two_stems_by_subtraction(separator: Separator, song: Path, mix: np.ndarray, out: Path) -> None:
    files = separator.separate_file(song, out, encoding=FLOAT, two_stems="vocals", other_method="minus").files
    assert list(files) == ["vocals", "minus_vocals"]
    np.testing.assert_array_equal(read(files["minus_vocals"]), mix - read(files["vocals"]))


def test_two_stems_alone(separator: Separator, song: Path, out: Path) -> None:
    separator.separate_file(song, out, two_stems="bass", other_method="none")
    assert [path.name for path in out.rglob("*.wav")] == ["bass.wav"]


def test_mono_is_copied_to_every_channel(separator: Separator, mix: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mono.wav", mix[0], 8000, "FLOAT")
    files = separator.separate_file(tmp_path / "mono.wav", tmp_path, encoding=FLOAT).files
    expected = separator.separate(np.stack([mix[0], mix[0]]))
    np.testing.assert_allclose(read(files["bass"]), expected["bass"], rtol=0, atol=1e-7)


def test_of_many_channels_the_first_are_taken(separator: Separator, mix: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "surround.wav", np.concatenate([mix, 1 - mix, -mix]).T, 8000, "FLOAT")
    files = separator.separate_file(tmp_path / "surround.wav", tmp_path, encoding=FLOAT).files
    np.testing.assert_allclose(read(files["bass"]), separator.separate(mix)["bass"], rtol=0, atol=1e-7)


def test_a_mono_model_takes_the_mean(mix: np.ndarray, song: Path, tmp_path: Path) -> None:
    separator = Separator(TinyModel(channels=1).save(tmp_path / "mono.onnx"))
    files = separator.separate_file(song, tmp_path, encoding=FLOAT).files
    expected = separator.separate(mix.mean(axis=0, keepdims=True))
    np.testing.assert_allclose(read(files["bass"]), expected["bass"], rtol=0, atol=1e-7)


def test_too_few_channels(song: Path, out: Path, tmp_path: Path) -> None:
    separator = Separator(TinyModel(channels=4).save(tmp_path / "quad.onnx"))
    with pytest.raises(CompilerError, match="has 2 channels, and the model takes 4"):
        separator.separate_file(song, out)


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 44100, 48000])
@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
def test_any_rate_and_format(rate: int, form: str, separator: Separator, tmp_path: Path) -> None:
    if form == "mp3" and rate == 4000:
        pytest.skip("mp3 knows no such rate")
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    soundfile.write(tmp_path / f"tone.{form}", np.stack([tone, tone / 2], axis=1), rate)
    result = separator.separate_file(tmp_path / f"tone.{form}", tmp_path / "out", encoding=FLOAT)
    model_tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * 8000) / 8000)
    expected = separator.separate(np.stack([model_tone, model_tone / 2]))["bass"]
    found = read(result.files["bass"])
    assert result.audio_seconds == pytest.approx(2, abs=0.15 if form == "mp3" else 1 / 8000)
    middle = slice(4000, 12000)
    # A codec and a resampler change samples a little, and an mp3 may begin late: levels are compared.
    assert np.std(found[:, middle]) == pytest.approx(np.std(expected[:, middle]), rel=0.1)


def test_silence_stays_silent(separator: Separator, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros((5000, 2)), 8000)
    for file in separator.separate_file(tmp_path / "silence.wav", tmp_path).files.values():
        assert read(file).shape == (2, 5000)
        assert not read(file).any()


def test_one_sample(separator: Separator, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "click.wav", np.array([[0.5, 0.5]]), 8000)
    for file in separator.separate_file(tmp_path / "click.wav", tmp_path).files.values():
        assert read(file) == pytest.approx(np.full((2, 1), 0.5), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("htdemucs", "htdemucs"),
        ("untrained:a?seed=1", "untrained_a_seed=1"),
        ("../a\\b", "_a_b"),
        ("..", "_"),
        ("a. .", "a"),
        ("nul.live", "_nul.live"),
    ],
)
def test_safe_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe
