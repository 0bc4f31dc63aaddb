"""Stems in other formats and at the song's rate, with its tags and cover; Stems for DJ software."""

import io
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from command_line import run
from tiny_model import TinyModel

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.runtime import Encoding, Separator, media
from onnx_demucs_compiler.runtime.audio import read_blocks
from onnx_demucs_compiler.runtime.encoding import Format, RawStem
from onnx_demucs_compiler.runtime.tags import Tags, read_tags

av = pytest.importorskip("av")

RATE = 44100
N = RATE + 77
FOUR = ("drums", "bass", "other", "vocals")
FLOAT = Encoding(float32=True, clip_mode="none")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four stems at 44100 Hz."""
    tiny = TinyModel(segment=20000, sample_rate=RATE, sources=FOUR)
    return tiny.save(tmp_path_factory.mktemp("model") / "tiny.onnx")


def music(samples: int = N, rate: int = RATE) -> np.ndarray:
    time = np.arange(samples) / rate
    notes = 0.3 * np.sin(2 * np.pi * np.array([[220], [331]]) * time * (1 + time / 3))
    return (notes + np.random.default_rng(0).normal(0, 0.01, (2, samples))).astype(np.float32)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    soundfile.write(path, music().T, RATE, "FLOAT")
    return path


def read(path: Path) -> np.ndarray:
    return np.concatenate(list(read_blocks(path, RATE, 2)), axis=1)


def snr_db(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(wanted**2) / max(1e-30, np.sum((found - wanted) ** 2))))


@pytest.mark.parametrize("form", ["mp3", "m4a"])
def test_compressed_stems_have_no_lag(form: Format, model: Path, song: Path, out: Path) -> None:
    separator = Separator(model, threads=1)
    wanted = separator.separate(music())
    files = separator.separate_file(song, out, encoding=Encoding(form)).files
    for name, stem in wanted.items():
        assert files[name].suffix == f".{form}"
        found = read(files[name])
        assert found.shape == stem.shape
        assert snr_db(found, stem) > 20


def test_bit_rate_of_mp3(model: Path, song: Path, out: Path) -> None:
    sizes = {}
    for rate in (64, 320):
        result = run("separate", model, song, "-o", out, "--format", "mp3", "--mp3-bitrate", rate, "--quiet")
        assert result.exit_code == 0
        sizes[rate] = next(out.rglob("bass.mp3")).stat().st_size
    assert sizes[64] == pytest.approx(64000 / 8 * N / RATE, rel=0.1)
    assert sizes[320] == pytest.approx(320000 / 8 * N / RATE, rel=0.1)


@pytest.mark.torch
@pytest.mark.parametrize("gain", [0.3, 2.0])
def test_24_bits_are_those_of_demucs(gain: float, tmp_path: Path) -> None:
    import torch
    from demucs.audio import save_audio

    stem = np.random.default_rng(3).uniform(-gain, gain, (2, 5000)).astype(np.float32)
    for form in ("wav", "flac"):
        raw = RawStem(tmp_path / "stem.f32", channels=2)
        raw.append(stem)
        raw.encode(tmp_path / f"ours.{form}", RATE, Encoding(form, int24=True))
        save_audio(torch.from_numpy(stem), tmp_path / "theirs.wav", RATE, bits_per_sample=24)
        assert soundfile.info(tmp_path / f"ours.{form}").subtype == "PCM_24"
        found, wanted = (
            soundfile.read(tmp_path / name, dtype="int32")[0] for name in (f"ours.{form}", "theirs.wav")
        )
        # One step: releases of demucs round differently.
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1 << 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "mp3", "float32": True}, "mp3 holds no samples as they are; leave out --float32"),
        ({"format": "m4a", "int24": True}, "m4a holds no samples as they are; leave out --int24"),
        ({"float32": True, "int24": True}, "leave out --float32 or --int24"),
        ({"mp3_bitrate": 128}, "does not go with wav; leave out --mp3-bitrate"),
        ({"format": "mp3", "mp3_bitrate": 100}, "MP3 has no bit rate of 100 kbit/s; it has 32, 40"),
    ],
)
def test_encodings_that_no_file_has(arguments: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Encoding(**arguments)


def test_without_ffmpeg_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "is_installed", lambda: False)
    with pytest.raises(UsageError, match=r"pip install 'onnx-demucs-runtime\[media\]'"):
        Encoding("m4a")
    assert Encoding("flac").codec is None


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize("samples", [30011, 50000])
def test_stems_at_the_rate_of_the_song(rate: int, samples: int, model: Path, tmp_path: Path) -> None:
    """Stems of a model whose sum is the song, so that a lag or a wrong length shows."""
    path = tmp_path / "song.wav"
    time = np.arange(samples) / rate
    tone = np.stack([np.sin(2 * np.pi * 3000 * time * (1 + time / 9)), np.sin(2 * np.pi * 500 * time)]) / 4
    soundfile.write(path, tone.T, rate, "FLOAT")
    separator = Separator(model, threads=1)
    at_its_own = separator.separate_file(path, tmp_path / "own", encoding=FLOAT, rate="source").files
    at_44100 = separator.separate_file(path, tmp_path / "model", encoding=FLOAT).files
    for name, file in at_its_own.items():
        found, found_rate = soundfile.read(file, dtype="float32")
        assert (found_rate, len(found)) == (rate, samples)
        wanted = soundfile.read(at_44100[name], dtype="float32")[0]
        resampled = soxr.resample(wanted, RATE, rate)
        n = min(len(resampled), samples)
        assert snr_db(found[:n], resampled[:n]) > 60


def test_rates_that_a_format_has_not(model: Path, tmp_path: Path, out: Path) -> None:
    soundfile.write(tmp_path / "song.wav", music(30000, 96000).T, 96000)
    arguments = ["separate", model, tmp_path / "song.wav", "-o", out, "--rate", "source", "--format"]
    result = run(*arguments, "mp3")
    assert result.exit_code == 1
    assert "MP3 has no sample rate of 96000 Hz; write wav or flac" in result.stderr
    assert not out.exists()
    assert run(*arguments, "m4a").exit_code == 0


TEXTS = {
    "title": "Ein Lied für alle",
    "artist": "Somebody",
    "album": "Songs",
    "date": "1999",
    "track": "3/9",
    "genre": "Rock",
    "comment": "live",
}


def cover() -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format="image2pipe") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 99, np.uint8), "rgb24")
        for piece in (frame, None):
            container.mux(stream.encode(piece))
    return content.getvalue()


def tagged(path: Path, form: Format, tags: Tags) -> Path:
    raw = RawStem(path.with_suffix(".f32"), 2)
    raw.append(music())
    raw.encode(path, RATE, Encoding(form), tags)
    return path


@pytest.mark.parametrize("source", ["mp3", "flac", "m4a", "wav"])
@pytest.mark.parametrize("target", ["mp3", "flac", "m4a", "wav"])
def test_tags_and_cover_are_carried_over(
    source: Format, target: Format, model: Path, tmp_path: Path, out: Path
) -> None:
    own = {"replaygain_track_gain": "-3 dB", "iTunNORM": " 0001", "encoder": "x"}
    song = tagged(tmp_path / f"song.{source}", source, Tags(TEXTS | own, cover()))
    assert read_tags(song).texts == TEXTS
    files = Separator(model, threads=1).separate_file(song, out, encoding=Encoding(target)).files
    for file in files.values():
        tags = read_tags(file)
        assert tags.texts == TEXTS
        assert tags.cover == (b"" if "wav" in (source, target) else cover())


def test_tags_change_no_sample(tmp_path: Path) -> None:
    for form in ("flac", "wav", "mp3"):
        plain = tagged(tmp_path / f"plain.{form}", form, Tags())
        with_tags = tagged(tmp_path / f"tagged.{form}", form, Tags(TEXTS, cover()))
        np.testing.assert_array_equal(read(plain), read(with_tags))
        assert soundfile.info(with_tags).frames == N


def test_songs_without_tags_give_stems_without(model: Path, song: Path, out: Path) -> None:
    files = Separator(model, threads=1).separate_file(song, out).files
    assert b"LIST" not in files["bass"].read_bytes()[:100]


def boxes(content: bytes) -> dict[str, bytes]:
    found = {}
    while content:
        size = int.from_bytes(content[:4], "big")
        assert 8 <= size <= len(content)
        found.setdefault(content[4:8].decode("latin1"), content[8:size])
        content = content[size:]
    return found


@pytest.mark.parametrize("tags", [Tags(), Tags(TEXTS, cover())], ids=["plain", "tagged"])
def test_stems_for_dj_software(tags: Tags, model: Path, tmp_path: Path, out: Path) -> None:
    song = tagged(tmp_path / "A Song.mp3", "mp3", tags)
    result = run("separate", model, song, "-o", out, "--format", "stem.mp4")
    assert (result.exit_code, result.stderr) == (0, "")
    [line] = result.stdout.splitlines()
    path = Path(line)
    assert path.name == "A Song.stem.mp4"
    top = boxes(path.read_bytes())
    box = json.loads(boxes(boxes(top["moov"])["udta"])["stem"])
    assert box["version"] == 1
    assert [stem["name"] for stem in box["stems"]] == ["Drums", "Bass", "Other", "Vocals"]
    assert all(set(stem) == {"name", "color"} for stem in box["stems"])
    assert {*box["mastering_dsp"]} == {"compressor", "limiter"}
    stems = Separator(model, threads=1).separate(read(song))
    with av.open(path) as container:
        default = av.stream.Disposition.default
        assert [default in stream.disposition for stream in container.streams.audio] == [True] + [False] * 4
        assert [stream.codec_context.name for stream in container.streams.audio] == ["aac"] * 5
    wanted = [read(song), *(stems[name] for name in FOUR)]
    gain = max(1.01 * max(np.abs(audio).max() for audio in wanted), 1)
    for number, audio in enumerate(wanted):
        found = track(path, number)
        assert found.shape[1] >= N
        assert snr_db(found[:, :N], audio / gain) > 20
    np.testing.assert_array_equal(read(path), track(path, 0)[:, :N])
    assert read_tags(path) == tags


def track(path: Path, number: int) -> np.ndarray:
    with av.open(path) as container:
        stream = container.streams.audio[number]
        assert stream.time_base == Fraction(1, RATE)
        return np.concatenate([frame.to_ndarray() for frame in container.decode(stream)], axis=1)


def test_enabled_track_is_the_mix_alone(model: Path, song: Path, out: Path) -> None:
    files = Separator(model, threads=1).separate_file(song, out, encoding=Encoding("stem.mp4")).files
    content = files["stems"].read_bytes()
    flags = [part[:4] for part in content.split(b"tkhd")[1:]]
    assert [flag[3] & 1 for flag in flags] == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--two-stems", "bass"], "stem.mp4 holds four stems; leave out --two-stems"),
        (["--rate", "source"], "stem.mp4 has the model's sample rate; leave out --rate source"),
    ],
)
def test_stem_files_that_cannot_be(
    options: list[str], message: str, model: Path, song: Path, out: Path
) -> None:
    result = run("separate", model, song, "-o", out, "--format", "stem.mp4", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert not out.exists()


def test_stem_files_of_other_models(artifact: Path, song: Path, out: Path) -> None:
    result = run("separate", artifact, song, "-o", out, "--format", "stem.mp4")
    assert result.exit_code == 2
    assert "this model has 3 (drums, bass, vocals)" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX resource limits")
@pytest.mark.parametrize("form", ["mp3", "m4a", "flac"])
def test_wherever_writing_fails_it_is_noticed(form: str, tmp_path: Path) -> None:
    settings = json.dumps({"format": form}), json.dumps({"title": "t" * 300})
    arguments = [sys.executable, Path(__file__).with_name("full_disk.py"), tmp_path, *settings]
    finished = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
