"""Songs that FFmpeg's libraries read: where they begin and end, and what is told of them."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import run

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime import media
from onnx_demucs_compiler.runtime.audio import check_song, read_blocks
from onnx_demucs_compiler.runtime.containers.kinds import foreign_kind

av = pytest.importorskip("av")

RATE = 48000
"""Opus has no other."""
N = RATE + 123


def song(channels: int = 2) -> np.ndarray:
    time = np.arange(N) / RATE
    notes = [
        0.3 * np.sin(2 * np.pi * (200 + 90 * channel + 300 * time) * time) for channel in range(channels)
    ]
    noise = np.random.default_rng(0).normal(0, 0.02, (channels, N))
    return (notes + noise).astype(np.float32)


def muxed(form: str, codec: str, samples: np.ndarray, layout: str = "stereo", tracks: int = 1) -> bytes:
    """A file as FFmpeg writes it."""
    content = io.BytesIO()
    with av.open(content, "w", format=form) as container:
        streams = [container.add_stream(codec, rate=RATE, layout=layout) for _ in range(tracks)]
        for number, stream in enumerate(streams):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples / (number + 1), np.float32), "fltp", layout
            )
            frame.sample_rate, frame.pts = RATE, 0
            sized = av.AudioResampler(stream.codec_context.format, layout, RATE)
            for piece in (*sized.resample(frame), None):
                container.mux(stream.encode(piece))
    return content.getvalue()


def heard(path: Path, channels: int = 2, **options: bool) -> np.ndarray:
    return np.concatenate(list(read_blocks(path, RATE, channels, **options)), axis=1)


def lag(found: np.ndarray, wanted: np.ndarray) -> int:
    size = 2 ** int(np.ceil(np.log2(N + found.shape[1])))
    product = np.fft.rfft(found[0], size) * np.fft.rfft(wanted[0], size).conj()
    place = int(np.fft.irfft(product, size).argmax())
    return place if place < size // 2 else place - size


FORMATS = {
    "aac.m4a": ("ipod", "aac", 0, 0),
    "alac.m4a": ("ipod", "alac", 0, 0),
    "aac.mp4": ("mp4", "aac", 0, 0),
    "aac.mov": ("mov", "aac", 0, 0),
    "opus.mp4": ("mp4", "libopus", 0, 0),
    "opus.webm": ("webm", "libopus", 0, 0),
    "opus.mkv": ("matroska", "libopus", 0, 0),
    "flac.mka": ("matroska", "flac", 0, 0),
    "mp3.mkv": ("matroska", "libmp3lame", 0, 0),
    "wavpack.wv": ("wv", "wavpack", 0, 0),
    "aac.mkv": ("matroska", "aac", 0, 1023),
    "ac3.ac3": ("ac3", "ac3", 256, 1791),
    "aac.aac": ("adts", "aac", 1024, 2047),
}
"""Container, codec, lag, and most samples beyond the end; bare streams tell of neither."""


@pytest.mark.parametrize("name", FORMATS)
def test_begin_and_end_are_those_of_the_song(name: str, tmp_path: Path) -> None:
    form, codec, delay, more = FORMATS[name]
    path = tmp_path / name
    path.write_bytes(muxed(form, codec, song()))
    assert check_song(path, 2) == []
    samples = heard(path)
    assert lag(samples, song()) == delay
    assert 0 <= samples.shape[1] - N <= more
    aligned = samples[:, delay : delay + N]
    assert 10 * np.log10(np.sum(song() ** 2) / np.sum((aligned - song()) ** 2)) > 12
    if codec in ("alac", "flac"):
        np.testing.assert_allclose(samples, song(), atol=2**-15)


def test_blocks_are_those_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.m4a"
    path.write_bytes(muxed("ipod", "alac", song()))
    with path.open("rb") as file, media.open_track(file) as track:
        blocks = list(track.blocks(5000))
    assert {block.shape[1] for block in blocks[:-1]} == {5000}
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), heard(path))


def test_channels_are_named_and_mixed(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(muxed("matroska", "flac", song(6), "5.1"))
    [warning] = check_song(path, 2)
    assert "has 6 channels (left, right, centre, LFE, rear left, rear right), of which only" in warning
    half = np.float32(0.5**0.5)
    left, right, centre, _, rear_left, rear_right = song(6)
    mix = [left + half * (centre + rear_left), right + half * (centre + rear_right)]
    np.testing.assert_allclose(heard(path, downmix=True), mix, atol=2**-13)


def test_other_sound_tracks_are_told(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(muxed("matroska", "flac", song(), tracks=2))
    assert check_song(path, 2) == [f"{path}: has 2 sound tracks, of which one is taken"]
    np.testing.assert_allclose(heard(path), song(), atol=2**-14)


def test_what_libsndfile_knows_is_read_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "open_track", None)
    for form in ("WAV", "FLAC", "MP3", "OGG", "AIFF"):
        soundfile.write(tmp_path / "x", song().T, RATE, format=form)
        assert check_song(tmp_path / "x", 2) == []
        assert heard(tmp_path / "x").shape == (2, N)


def test_what_libsndfile_does_not_know_is_tried(tmp_path: Path) -> None:
    """A wav whose samples are AC-3, which nothing says in its first bytes."""
    path = tmp_path / "x.wav"
    path.write_bytes(muxed("wav", "ac3", song()))
    assert foreign_kind(path.read_bytes()) is None
    assert lag(heard(path), song()) == 256


DAMAGED = {
    "cut.m4a": (lambda: muxed("ipod", "aac", song())[:9000], "is an MPEG-4 audio file (M4A: AAC or ALAC): "),
    "silent.mp4": (lambda: picture("mp4"), "has no sound track"),
    "cut.mkv": (lambda: muxed("matroska", "flac", song())[:400], "is a Matroska file (MKV or MKA): "),
    "playlist.mp4": (lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsong.wav\n", "is a playlist"),
    "concat.m4a": (lambda: b"ffconcat version 1.0\nfile song.wav\n", "a format that is not read here"),
    "text.m4a": (lambda: b"la la la " * 999, "cannot be read as audio (Invalid data"),
}


def picture(form: str) -> bytes:
    content = io.BytesIO()
    with av.open(content, "w", format=form) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        for piece in (frame, None):
            container.mux(stream.encode(piece))
    return content.getvalue()


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_one_line(name: str, tmp_path: Path) -> None:
    make, told = DAMAGED[name]
    path = tmp_path / name
    soundfile.write(tmp_path / "song.wav", np.zeros((100, 2)), RATE)
    path.write_bytes(make())
    with pytest.raises(CompilerError) as caught:
        check_song(path, 2)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)
    assert str(caught.value).count(str(path)) == 1


def test_an_mp4_that_ends_early_is_damaged(tmp_path: Path) -> None:
    whole = muxed("ipod", "alac", song())
    moov = whole.index(b"moov") - 4
    begin = whole.index(b"mdat") - 4
    size = int.from_bytes(whole[begin : begin + 4], "big")
    assert begin + size == moov
    path = tmp_path / "x.m4a"
    path.write_bytes(whole[:begin] + muxed_free(size) + whole[moov:])
    with pytest.raises(CompilerError, match="damaged|cannot be decoded"):
        heard(path)


def muxed_free(size: int) -> bytes:
    """Zeros in place of a box, so that places stay what they are."""
    return size.to_bytes(4, "big") + b"mdat" + bytes(size - 8)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error")])
def test_a_read_that_fails_is_no_end(error: OSError, tmp_path: Path) -> None:
    content = muxed("matroska", "flac", song())

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > len(content) // 2:
                raise error
            return super().read(size)

    with pytest.raises(OSError, match="Input/output error"), media.open_track(Failing(content)) as track:
        list(track.blocks(5000))


def test_separate_reads_a_film(artifact: Path, tmp_path: Path, out: Path) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(muxed("matroska", "aac", song()))
    result = run("separate", artifact, path, "-o", out)
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(list(out.rglob("*.wav"))) == 3


def test_without_ffmpeg_it_is_said_what_to_install(
    artifact: Path, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "is_installed", lambda: False)
    path = tmp_path / "x.m4a"
    path.write_bytes(muxed("ipod", "aac", song()))
    result = run("separate", artifact, path, "-o", out)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: {path}: is an MPEG-4 audio file (M4A: AAC or ALAC), which needs FFmpeg's libraries: "
        "pip install 'onnx-demucs-runtime[media]', or convert it: ffmpeg -i x.m4a x.wav\n"
    )
