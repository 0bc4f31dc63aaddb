"""Songs are read whole whatever their headers count, or refused in one line."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from audio_files import RATE, changed, decoded_by_ffmpeg, lame, music, muxed, written
from command_line import run
from tiny_model import TinyModel

from onnx_demucs_compiler.cli.excerpt import excerpt_signals
from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.runtime import media
from onnx_demucs_compiler.runtime.audio import check_song, read_blocks, read_excerpt
from onnx_demucs_compiler.runtime.containers.part import Span

SONG, OTHER = music(1.5), music(0.8, seed=1)
BOTH = np.concatenate([SONG, OTHER], axis=1)
N, M = SONG.shape[1], OTHER.shape[1]

CBR, OTHER_CBR = lame(SONG, bit_rate=192), lame(OTHER, bit_rate=192)
VBR = lame(SONG, vbr=4, vbr_quality=2)
ABR = lame(SONG, vbr=3, vbr_mean_bitrate_kbps=150)
WITHOUT_HEADER = {
    "lameenc-cbr": CBR,
    "lameenc-vbr": VBR,
    "lameenc-abr": ABR,
    "pyav": muxed(SONG, {"write_xing": "0"}),
}
MP3, OTHER_MP3 = written(SONG, "MP3"), written(OTHER, "MP3")
WITH_HEADER = {"libsndfile": MP3, "pyav": muxed(SONG, {})}
ENCODER_LAG = 1105
"""LAME's delay of 576 and a decoder's of 529: samples that lie before a song without a header."""


def heard(path: Path, content: bytes) -> tuple[np.ndarray, list[str]]:
    """A file's samples and its warnings, the latter without the name."""
    path.write_bytes(content)
    warnings = [warning.removeprefix(f"{path}: ") for warning in check_song(path, 2)]
    return np.concatenate(list(read_blocks(path, RATE, 2)), axis=1), warnings


def snr_db(samples: np.ndarray, song: np.ndarray, lag: int = 0) -> float:
    there = samples[:, lag : lag + song.shape[1]]
    assert there.shape == song.shape
    return float(10 * np.log10(np.sum(song**2) / max(1e-30, np.sum((there - song) ** 2))))


@pytest.mark.parametrize("writer", WITH_HEADER)
def test_an_mp3_with_a_header_is_exact(writer: str, tmp_path: Path) -> None:
    samples, warnings = heard(tmp_path / "x.mp3", WITH_HEADER[writer])
    assert samples.shape == SONG.shape
    assert snr_db(samples, SONG) > 15
    assert warnings == []


@pytest.mark.parametrize("writer", WITHOUT_HEADER)
def test_every_frame_of_an_mp3_without_a_header(writer: str, tmp_path: Path) -> None:
    samples, warnings = heard(tmp_path / "x.mp3", WITHOUT_HEADER[writer])
    ffmpeg = decoded_by_ffmpeg(WITHOUT_HEADER[writer])
    assert samples.shape == ffmpeg.shape
    assert np.abs(samples - ffmpeg).max() < 1e-5
    assert snr_db(samples, SONG, ENCODER_LAG) > 15
    assert warnings == []


def less(counted: int, there: int) -> str:
    return (
        f"its header counts {counted} samples ({counted / RATE:.1f} s), and the file holds {there} "
        f"({there / RATE:.1f} s); all of them are read"
    )


def more(counted: int, there: int) -> str:
    return (
        f"its header counts {counted} samples ({counted / RATE:.1f} s), and the file holds only {there} "
        f"({there / RATE:.1f} s); it was cut short or damaged"
    )


WAV, FLOAT, AIFF, AU = (
    written(SONG, "WAV"),
    written(SONG, "WAVEX", "FLOAT"),
    written(SONG, "AIFF"),
    written(SONG, "AU"),
)
CAF, RF64, FLAC, OGG = (written(SONG, kind) for kind in ("CAF", "RF64", "FLAC", "OGG"))
W64, NIST, AVR = (written(SONG, kind, "PCM_16") for kind in ("W64", "NIST", "AVR"))
W64_MARKERS = bytes.fromhex("5662f7ab2d39d21186c700c04f8edb8a") + (43).to_bytes(8, "little") + bytes(24)
"""A chunk of 19 bytes, and its padding."""
LIST = b"LIST" + (26).to_bytes(4, "little") + b"INFOISFT" + (14).to_bytes(4, "little") + b"a recorder 12\0"
TAG = b"ID3\3\0\0\0\0\7\x68" + bytes(1000)
ODD = written(SONG[:1, :1001], "WAV", "PCM_U8")
FRAMES = int.from_bytes(MP3[MP3.index(b"Xing") + 8 :][:4], "big")
DELAY = int.from_bytes(MP3[MP3.index(b"Xing") + 141 :][:3], "big") >> 12
ALL_FRAMES = FRAMES * 1152 - DELAY - 529


def wav(size: int, content: bytes = WAV) -> bytes:
    return changed(content, b"data", 4, 4, "little", size)


def flac(samples: int) -> bytes:
    counts = int.from_bytes(FLAC[21:26], "big") >> 36 << 36 | samples
    return FLAC[:21] + counts.to_bytes(5, "big") + FLAC[26:]


def w64(size: int, content: bytes = W64) -> bytes:
    return changed(content, b"data", 16, 8, "little", 24 + size)


def nist(samples: int, content: bytes = NIST) -> bytes:
    return content.replace(b"sample_count -i %05d" % N, b"sample_count -i %05d" % samples)


def avr(samples: int, content: bytes = AVR) -> bytes:
    return changed(content, b"2BIT", 26, 4, "big", samples)


def mp3(frames: int) -> bytes:
    return changed(MP3, b"Xing", 8, 4, "big", frames)


LIES: dict[str, tuple[bytes, list[str]]] = {
    "wav-0": (wav(0), [less(0, N)]),
    "wav-half": (wav(2 * N), [less(N // 2, N)]),
    "wav-one-sample-less": (wav(4 * N - 4), [less(N - 1, N)]),
    "wav-three-bytes-less": (wav(4 * N - 3), [less(N - 1, N)]),
    "wav-more": (wav(4 * N + 400), [more(N + 100, N)]),
    "wav-to-a-pipe": (wav(2**32 - 1), []),
    "wav-to-a-pipe-by-sox": (wav(2**31 - 4096), []),
    "wav-chunk-behind": (WAV + LIST, []),
    "wav-0-chunk-behind": (wav(0, WAV + LIST), [less(0, N)]),
    "wav-pipe-chunk-behind": (wav(2**32 - 1, WAV + LIST), []),
    "wav-tag-before": (TAG + wav(0), [less(0, N)]),
    "wav-tag-behind": (WAV + b"TAG" + bytes(125), []),
    "wav-float": (changed(FLOAT, b"data", 4, 4, "little", 0), [less(0, N)]),
    "rf64-0": (changed(RF64, b"ds64", 16, 8, "little", 0), [less(0, N)]),
    "rf64-half": (changed(RF64, b"ds64", 16, 8, "little", 2 * N), [less(N // 2, N)]),
    "aiff-0": (changed(AIFF, b"SSND", 4, 4, "big", 8), [less(0, N)]),
    "aiff-half": (changed(AIFF, b"SSND", 4, 4, "big", 2 * N + 8), [less(N // 2, N)]),
    "au-0": (changed(AU, b".snd", 8, 4, "big", 0), [less(0, N)]),
    "au-half": (changed(AU, b".snd", 8, 4, "big", 2 * N), [less(N // 2, N)]),
    "au-to-a-pipe": (changed(AU, b".snd", 8, 4, "big", 2**32 - 1), []),
    "caf-0": (changed(CAF, b"data", 4, 8, "big", 4), [less(0, N)]),
    "caf-half": (changed(CAF, b"data", 4, 8, "big", 2 * N + 4), [less(N // 2, N)]),
    "caf-more": (changed(CAF, b"data", 4, 8, "big", 8 * N + 4), [more(2 * N, N)]),
    "w64-0": (w64(0), [less(0, N)]),
    "w64-half": (w64(2 * N), [less(N // 2, N)]),
    "w64-more": (w64(8 * N), [more(2 * N, N)]),
    "w64-to-a-pipe": (w64(2**63 - 1 - 24), []),
    "w64-chunk-behind": (W64 + bytes(-len(W64) % 8) + W64_MARKERS, []),
    "w64-0-chunk-behind": (w64(0, W64 + bytes(-len(W64) % 8) + W64_MARKERS), [less(0, N)]),
    "w64-tag-behind": (W64 + TAG, []),
    "nist-half": (nist(N // 2), [less(N // 2, N)]),
    "nist-more": (nist(N + 100), [more(N + 100, N)]),
    "nist-tag-behind": (NIST + TAG, []),
    "avr-half": (avr(N // 2), [less(N // 2, N)]),
    "avr-more": (avr(N + 100), [more(N + 100, N)]),
    "avr-tag-behind": (AVR + TAG, []),
    "caf-to-a-pipe": (changed(CAF, b"data", 4, 8, "big", 2**64 - 1), []),
    "flac-to-a-pipe": (flac(0), []),
    "flac-half": (flac(N // 2), [less(N // 2, N)]),
    "flac-one-sample-less": (flac(N - 1), [less(N - 1, N)]),
    "flac-tag-behind": (flac(N // 2) + b"TAG" + bytes(125), [less(N // 2, N)]),
}


@pytest.mark.parametrize("lie", LIES)
def test_samples_that_a_header_does_not_count(lie: str, tmp_path: Path) -> None:
    content, expected = LIES[lie]
    samples, warnings = heard(tmp_path / "x", content)
    assert samples.shape == SONG.shape
    assert snr_db(samples, SONG) > 70
    assert warnings == expected


@pytest.mark.parametrize("frames", [0, 1, FRAMES // 2, FRAMES - 1])
def test_frames_that_a_header_does_not_count(frames: int, tmp_path: Path) -> None:
    samples, warnings = heard(tmp_path / "x.mp3", mp3(frames))
    assert samples.shape[1] == ALL_FRAMES >= N
    assert snr_db(samples, SONG) > 15
    [warning] = warnings
    assert warning.endswith(
        f"and the file holds {ALL_FRAMES} ({ALL_FRAMES / RATE:.1f} s); all of them are read"
    )


@pytest.mark.parametrize("frames", [FRAMES, FRAMES // 2])
def test_a_vbri_tag_is_no_sound(frames: int, tmp_path: Path) -> None:
    """As Fraunhofer's encoder writes it, with nothing of its delay that FFmpeg heeds."""
    at = MP3.index(b"Xing")
    tag = b"VBRI\0\1\0\0\0\x4b" + len(MP3).to_bytes(4, "big") + frames.to_bytes(4, "big")
    content = MP3[:at] + tag + bytes(156 - len(tag)) + MP3[at + 156 :]
    samples, warnings = heard(tmp_path / "x.mp3", content)
    assert samples.shape[1] == FRAMES * 1152
    assert snr_db(samples, SONG, ENCODER_LAG) > 15
    assert warnings == ([] if frames == FRAMES else [less(frames * 1152, FRAMES * 1152)])


JOINED: dict[str, tuple[bytes, int, list[str]]] = {
    "mp3": (MP3 + OTHER_MP3, 15, [less(N, N + M)]),
    "mp3-tags": (TAG + MP3 + b"TAG" + bytes(125) + TAG + OTHER_MP3, 15, [less(N, N + M)]),
    "wav": (WAV + written(OTHER, "WAV"), 70, [less(N, N + M)]),
    "wav-flac": (WAV + LIST + written(OTHER, "FLAC"), 70, [less(N, N + M)]),
    "aiff": (AIFF + written(OTHER, "AIFF"), 70, [less(N, N + M)]),
    "au": (AU + written(OTHER, "AU"), 70, [less(N, N + M)]),
    "caf": (CAF + written(OTHER, "CAF"), 70, [less(N, N + M)]),
    "rf64": (RF64 + written(OTHER, "RF64"), 70, [less(N, N + M)]),
    "w64": (W64 + written(OTHER, "W64"), 70, [less(N, N + M)]),
    "w64-flac": (W64 + written(OTHER, "FLAC"), 70, [less(N, N + M)]),
    "w64-ogg": (W64 + written(OTHER, "OGG"), 15, [less(N, N + M)]),
    "nist": (NIST + written(OTHER, "NIST"), 70, [less(N, N + M)]),
    "avr": (AVR + written(OTHER, "AVR", "PCM_16"), 70, [less(N, N + M)]),
    "wav-mp3": (WAV + OTHER_MP3, 15, [less(N, N + M)]),
    "aiff-mp3": (AIFF + OTHER_MP3, 15, [less(N, N + M)]),
    "au-mp3": (AU + OTHER_MP3, 15, [less(N, N + M)]),
    "caf-tag-mp3": (CAF + TAG + OTHER_MP3, 15, [less(N, N + M)]),
    "w64-mp3": (W64 + OTHER_MP3, 15, [less(N, N + M)]),
    "wav-paf": (WAV + written(OTHER, "PAF", "PCM_16"), 70, [less(N, N + M)]),
    "mp3-w64": (MP3 + written(OTHER, "W64"), 15, [less(N, N + M)]),
    "ogg-w64": (OGG + written(OTHER, "W64"), 15, []),
    "flac": (FLAC + written(OTHER, "FLAC"), 70, [less(N, N + M)]),
    "ogg": (OGG + written(OTHER, "OGG"), 15, []),
    "ogg-wav": (OGG + written(OTHER, "WAV"), 15, []),
    "ogg-mp3": (OGG + OTHER_MP3, 15, []),
    "ogg-wav-ogg": (OGG + written(OTHER[:, :9000], "WAV") + written(OTHER[:, 9000:], "OGG"), 12, []),
    "mp3-flac": (MP3 + written(OTHER, "FLAC"), 15, [less(N, N + M)]),
    "mp3-tag-wav": (MP3 + b"TAG" + bytes(125) + written(OTHER, "WAV"), 15, [less(N, N + M)]),
}


@pytest.mark.parametrize("kind", JOINED)
def test_files_joined_end_to_end(kind: str, tmp_path: Path) -> None:
    content, at_least_db, expected = JOINED[kind]
    samples, warnings = heard(tmp_path / "x", content)
    assert samples.shape == BOTH.shape
    assert snr_db(samples, BOTH) > at_least_db
    assert warnings == expected


def test_mp3_without_headers_joined(tmp_path: Path) -> None:
    samples, warnings = heard(tmp_path / "x.mp3", CBR + OTHER_CBR)
    ffmpeg = decoded_by_ffmpeg(CBR + OTHER_CBR)
    assert samples.shape == ffmpeg.shape
    assert np.abs(samples - ffmpeg).max() < 1e-5
    assert warnings == []


def test_joined_files_of_different_rates_and_channels(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mono.wav", OTHER[0, ::2], RATE // 2)
    samples, warnings = heard(tmp_path / "x.wav", WAV + (tmp_path / "mono.wav").read_bytes())
    assert samples.shape[1] == N + M
    assert snr_db(samples[:, :N], SONG) > 70
    assert np.array_equal(samples[0, N:], samples[1, N:])
    assert [warning.split(", and")[0] for warning in warnings] == [less(N, N).split(", and")[0]]


@pytest.mark.parametrize("content", [WAV, W64, NIST, AVR], ids=["wav", "w64", "nist", "avr"])
def test_samples_that_were_cut(content: bytes, tmp_path: Path) -> None:
    samples, warnings = heard(tmp_path / "x", content[:-4000])
    assert snr_db(samples, SONG[:, : N - 1000]) > 70
    assert warnings == [more(N, N - 1000)]


def test_an_mp3_that_was_cut(tmp_path: Path) -> None:
    samples, [warning] = heard(tmp_path / "x.mp3", MP3[: len(MP3) // 2])
    assert snr_db(samples, SONG[:, : samples.shape[1]]) > 15
    assert abs(samples.shape[1] - N / 2) < 2 * 1152
    assert warning == more(N, samples.shape[1])


@pytest.mark.parametrize("behind", [b"", written(OTHER, "OGG"), WAV], ids=["nothing", "ogg", "wav"])
@pytest.mark.parametrize("cut", [5, 4000, len(OGG) - OGG.rindex(b"OggS"), len(OGG) - OGG.rindex(b"OggS") - 9])
def test_an_ogg_without_its_end(cut: int, behind: bytes, tmp_path: Path) -> None:
    _, warnings = heard(tmp_path / "x.ogg", OGG[:-cut] + behind)
    assert warnings == ["it ends before its last page; it was cut short or damaged"]


@pytest.mark.parametrize("gap", [b"", bytes(3000), b"\xff" * 3000, TAG], ids=["hole", "zeros", "ones", "tag"])
def test_an_mp3_with_a_gap(gap: bytes, tmp_path: Path) -> None:
    """At most the frames at the hole's borders are lost."""
    middle = len(CBR) // 2
    samples, _ = heard(tmp_path / "x.mp3", CBR[:middle] + gap + CBR[middle + 100 :])
    whole = decoded_by_ffmpeg(CBR)
    assert whole.shape[1] - 2 * 1152 <= samples.shape[1] <= whole.shape[1]
    assert np.abs(samples[:, -5000:] - whole[:, -5000:]).max() < 1e-5


def test_an_au_that_begins_within_its_header(tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match="cannot be read as audio|holds no audio"):
        heard(tmp_path / "x.au", changed(changed(AU, b".snd", 4, 4, "big", 0), b".snd", 8, 4, "big", 0))


def test_odd_bytes_are_no_lie(tmp_path: Path) -> None:
    """A pad byte and half a sample."""
    samples, warnings = heard(tmp_path / "x.wav", ODD)
    assert (samples.shape[1], warnings) == (1001, [])
    samples, warnings = heard(tmp_path / "x.wav", WAV + b"\1\2")
    assert (samples.shape[1], warnings) == (N, [])


@pytest.mark.parametrize("subtype", ["PCM_S8", "ALAC_16"])
def test_padding_of_caf_is_no_lie(subtype: str, tmp_path: Path) -> None:
    content = written(np.zeros((1, 4001), np.float32), "CAF", subtype)
    assert int.from_bytes(content[content.index(b"data") + 4 :][:8], "big") % 2 == 1
    samples, warnings = heard(tmp_path / "x.caf", content)
    assert (samples.shape[1], warnings) == (4001, [])


@pytest.mark.parametrize("width", [2, 8])
def test_sizes_that_wrapped_at_4_gib(width: int, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.ones(1000), 44100, {2: "PCM_16", 8: "DOUBLE"}[width])
    header = path.read_bytes()[: -1000 * width]
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 2**32 + 1000 * width)
    there = 1000 + 2**32 // width
    [warning] = check_song(path, 2)
    assert warning.endswith(f"{less(1000, there)}")
    assert next(read_blocks(path, RATE, 2)).shape[0] == 2


def test_bytes_that_nothing_explains_are_refused(tmp_path: Path) -> None:
    """A MAT file of two variables more than libsndfile looks for."""
    content = written(SONG, "MAT4")
    with pytest.raises(CompilerError, match=rf"4000 bytes behind the {N} samples that its header counts"):
        heard(tmp_path / "x.mat", content + bytes(range(1, 251)) * 16)


M4A = b"\0\0\0\x1cftypM4A \0\0\0\0M4A mp42"
KINDS: dict[str, tuple[bytes, str]] = {
    "html": (b"<!DOCTYPE html><html>404</html>", "is an HTML page, as a download that failed leaves"),
    "m4a": (M4A, "is an MPEG-4 audio file (M4A: AAC or ALAC), "),
    "m4a-tagged": (TAG + M4A, "is an MPEG-4 audio file (M4A: AAC or ALAC), "),
    "mp4": (b"\0\0\0\x20ftypisom\0\0\2\0", "is an MPEG-4 file (MP4), "),
    "mkv": (bytes.fromhex("1a45dfa3a34286810142f7810142f28104"), "is a Matroska file (MKV or MKA), "),
    "webm": (bytes.fromhex("1a45dfa39f4286810142f78101428284") + b"webm", "is a WebM file, "),
    "aac": (b"\xff\xf1\x50\x80\x2e\x7f\xfc", "is an AAC stream (ADTS), "),
    "wma": (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "is a Windows Media file (WMA or WMV), "),
    "gzip": (b"\x1f\x8b\x08", "is compressed by gzip: unpack it first"),
    "zip": (b"PK\x03\x04", "is a zip archive: unpack it first"),
    "pdf": (b"%PDF-1.7\n", "is a PDF document"),
    "jpeg": (b"\xff\xd8\xff\xe0", "is a JPEG picture"),
    "png": (b"\x89PNG\r\n\x1a\n", "is a PNG picture"),
    "midi": (b"MThd\0\0\0\6", "is a MIDI file: notes, and no sound"),
}


@pytest.mark.parametrize("name", ["a song.mp3", "x.wav", "x"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_song_by_its_bytes(kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "is_installed", lambda: False)
    beginning, told = KINDS[kind]
    path = tmp_path / name
    path.write_bytes(beginning + bytes(5000))
    command = (
        "which needs FFmpeg's libraries: pip install 'onnx-demucs-runtime[media]', or convert it: ffmpeg -i "
    )
    command += {"a song.mp3": "'a song.mp3' 'a song.wav'", "x.wav": "x.wav x.flac", "x": "x x.wav"}[name]
    with pytest.raises(CompilerError, match=re.escape(told + command if told.endswith(", ") else told) + "$"):
        check_song(path, 2)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return TinyModel().save(tmp_path / "tiny.onnx")


def test_separate_warns_and_reads_all(artifact: Path, tmp_path: Path) -> None:
    song = tmp_path / "crashed.wav"
    song.write_bytes(wav(0))
    told = f"warning: {song}: {less(0, N)}"
    for options, stderr in (([], told), (["--json"], told), (["--quiet"], ""), (["--json", "--quiet"], "")):
        result = run("separate", artifact, song, "-o", tmp_path / "out", *options)
        assert (result.exit_code, result.stderr.rstrip()) == (0, stderr)  # rich 13.7 adds an empty line
        if "--json" in options:
            [entry] = json.loads(result.stdout)["songs"]
            assert entry["warnings"] == [f"{song}: {less(0, N)}"]
            assert soundfile.info(entry["files"]["bass"]).frames == round(N * 8000 / RATE)


@pytest.mark.torch
def test_an_excerpt_is_the_middle_of_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The way of ``verify --audio`` and ``compile --verify-audio``."""
    import torch

    song = tmp_path / "crashed.wav"
    song.write_bytes(wav(1000))
    source = SimpleNamespace(example=lambda: (torch.zeros(1, 2, 1000),), sample_rate=RATE)
    [(name, excerpt)] = excerpt_signals([song], source, "segment").items()  # type: ignore[arg-type]
    assert name == "crashed.wav"
    start = (N - 1000) // 2
    assert np.abs(excerpt[0].numpy() - SONG[:, start : start + 1000]).max() < 1e-4
    assert capsys.readouterr().err == f"warning: {song}: {less(250, N)}\n"


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("content", [WAV, MP3, OGG], ids=["wav", "mp3", "ogg"])
def test_a_read_that_fails_is_no_end(
    content: bytes, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(content)
    read = Span._readinto

    def fail(span: Span, buffer: memoryview) -> int:
        if span.tell() > len(content) // 2:
            raise error
        return read(span, buffer)

    monkeypatch.setattr(Span, "_readinto", fail)
    with pytest.raises(type(error)):
        read_excerpt(tmp_path / "x", 2, N, RATE)
