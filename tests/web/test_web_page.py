"""The page in Chromium: its stems are those of ``separate``, and every failure is a line for a person.

``web/page/test/drive.mjs`` plays the person.
"""

import io
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from tiny_model import TinyModel
from web_examples import RATE, write_web_model

from onnx_demucs_compiler.artifact.metadata import PREFIX
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.runtime import Encoding, Separator
from onnx_demucs_compiler.web import site, site_files

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "web" / "page" / "test" / "drive.mjs"
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium")
STEMS = ["drums", "vocals"]
OWN_SERVER = """
import sys
from pathlib import Path
from onnx_demucs_compiler.web import SiteServer
SiteServer(Path(sys.argv[1]), int(sys.argv[2])).serve_forever()
"""

if shutil.which("node") is None or BROWSER is None:
    pytest.skip("no node or no chromium (on PATH, or in CHROMIUM) on this machine", allow_module_level=True)
if not (site.PAGE / "index.html").is_file():
    pytest.skip("the page is not built: make web", allow_module_level=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_web_model(tmp_path_factory.mktemp("model") / "small.onnx")


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds as 16-bit wav."""
    path = tmp_path_factory.mktemp("song") / "My song.wav"
    soundfile.write(path, synthetic_song(3 * RATE, RATE).T, RATE, "PCM_16")
    return path


@pytest.fixture
def long_song(tmp_path: Path) -> Path:
    """Enough segments for a person to come in between."""
    path = tmp_path / "long.wav"
    soundfile.write(path, synthetic_song(15 * RATE, RATE).T, RATE, "PCM_16")
    return path


@pytest.fixture
def files(model: Path) -> dict[str, bytes]:
    return site_files(model)


@pytest.fixture
def drive(files: dict[str, bytes], tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Run a scenario on a site of ``files``, which a test may change before."""
    servers = []

    def run(scenario: str, *, isolated: bool = True, wrong: bool = False, **facts: Any) -> dict[str, Any]:
        for name, content in files.items():
            path = tmp_path / "site" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        server, url = serve(tmp_path / "site", isolated=isolated)
        servers.append(server)
        facts |= {
            "chromium": BROWSER,
            "url": url,
            "folder": str(tmp_path),
            "server": server.pid,
            "stems": STEMS,
        }
        ended = subprocess.run(
            ["node", str(DRIVER), scenario],
            input=json.dumps(facts, default=str),
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        told: dict[str, Any] = json.loads(ended.stdout)
        assert wrong or told["errors"] == []
        return told

    yield run
    for server in servers:
        server.kill()
        server.wait()


def serve(folder: Path, *, isolated: bool) -> tuple[subprocess.Popen[bytes], str]:
    """A server that can be killed: ours, or one that sends no header of ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plain = ["-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(port)]
    own = ["-c", OWN_SERVER, str(folder), str(port)]
    process = subprocess.Popen(
        [sys.executable, *(own if isolated else plain)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    return process, f"http://127.0.0.1:{port}/"


def separated(model: Path, song: Path, out: Path, *, float32: bool = True) -> dict[str, np.ndarray]:
    """The stems that Python writes."""
    done = Separator(model).separate_file(song, out, encoding=Encoding(float32=float32))
    return {stem: soundfile.read(path)[0] for stem, path in done.files.items()}


def least_snr(wanted: dict[str, np.ndarray], told: dict[str, Any], kind: str) -> float:
    found = {stem: soundfile.read(told["files"][f"{stem} {kind}"])[0] for stem in wanted}
    return min(snr_db(wanted[stem], found[stem]) for stem in wanted)


def test_a_song(model: Path, song: Path, drive: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    told = drive("separate", song=song, formats=["float32", "pcm24", "pcm16"], zip=True)
    assert (told["problem"], told["notice"], told["isolated"]) == (None, None, True)
    assert told["title"] == "Done · My song"
    assert told["model"].startswith("HTDemucs: drums, vocals · WebAssembly, ")
    assert told["folders"] == 0
    wanted = separated(model, song, tmp_path / "python")
    assert least_snr(wanted, told, "float32") > 100
    assert least_snr(wanted, told, "pcm24") > 100
    whole = separated(model, song, tmp_path / "python", float32=False)
    assert least_snr(whole, told, "pcm16") > 80
    assert {
        soundfile.info(told["files"][f"drums {kind}"]).subtype for kind in ("float32", "pcm24", "pcm16")
    } == {
        "FLOAT",
        "PCM_24",
        "PCM_16",
    }
    assert Path(told["files"]["drums pcm24"]).name == "pcm24 My song - drums.wav"
    with zipfile.ZipFile(told["files"]["zip"]) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["drums.wav", "vocals.wav"]
        for name in archive.namelist():
            samples = soundfile.read(io.BytesIO(archive.read(name)))[0]
            np.testing.assert_array_equal(samples, soundfile.read(told["files"][f"{name[:-4]} pcm16"])[0])


def at_48_khz(seconds: int) -> np.ndarray:
    """A song that fades in and out and has nothing above 16 kHz.

    Two resamplers differ in the band where they fall off, and where a signal begins or ends with a step.
    """
    song = soxr.resample(synthetic_song(seconds * 32000, 32000).T, 32000, 48000)
    ramp = np.sin(np.linspace(0, np.pi / 2, 4800))[:, None] ** 2
    song[:4800] *= ramp
    song[-4800:] *= ramp[::-1]
    return song


def test_another_rate(model: Path, drive: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, at_48_khz(3), 48000, "FLOAT")
    told = drive("separate", song=song, formats=["float32"])
    assert least_snr(separated(model, song, tmp_path / "python"), told, "float32") > 80


@pytest.mark.parametrize(("suffix", "gate_db"), [("mp3", 40), ("flac", 80), ("ogg", 80)])
def test_what_the_browser_decodes(
    suffix: str, gate_db: int, model: Path, drive: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """At another rate than the model's, which has to be found in the file.

    Chromium decodes 16-bit samples less exactly than it does 24-bit ones, and in Debian's version 150 MP3 to
    82 dB, which this model makes 49 of.
    """
    song = tmp_path / f"song.{suffix}"
    soundfile.write(song, at_48_khz(2), 48000, "PCM_24" if suffix == "flac" else None)
    told = drive("separate", song=song, formats=["float32"])
    wanted = separated(model, song, tmp_path / "python")
    assert least_snr(wanted, told, "float32") > gate_db


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("notes.txt", b"no audio at all", "This file cannot be read as audio."),
        ("empty.mp3", b"", "This file is empty."),
        ("silent.wav", np.zeros((0, 2)), "This file holds no audio: it is zero seconds long."),
        ("short.wav", np.zeros((4000, 2)), "This song is too short: it lasts less than a tenth of a second."),
        ("bad.wav", np.full((8000, 2), math.nan), "This file has samples that are not finite numbers"),
    ],
)  # fmt: skip
def test_what_is_no_song(
    name: str, content: bytes | np.ndarray, line: str, drive: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    song = tmp_path / name
    if isinstance(content, bytes):
        song.write_bytes(content)
    else:
        soundfile.write(song, content, RATE, "FLOAT")
    told = drive("fail", song=song)
    assert told["problem"].startswith(line)
    assert (told["choose"], told["result"], told["folders"]) == (True, False, 0)


def test_a_damaged_model(song: Path, files: dict[str, bytes], drive: Callable[..., dict[str, Any]]) -> None:
    data = files["small.onnx.data"]
    files["small.onnx.data"] = data[:-1] + bytes([data[-1] ^ 1])
    told = drive("fail", song=song)
    assert told["problem"].startswith(
        "The model on the server is damaged or was replaced while it was fetched."
    )
    assert told["folders"] == 0


def test_a_model_of_another_interface(
    song: Path, files: dict[str, bytes], drive: Callable[..., dict[str, Any]]
) -> None:
    import hashlib

    import onnx

    graph = onnx.load_from_string(files["model.onnx"])
    [entry] = [entry for entry in graph.metadata_props if entry.key == PREFIX + "interface"]
    entry.value = "core"
    files["model.onnx"] = graph.SerializeToString()
    described = json.loads(files["model.json"])
    described["graph"]["sha256"] = hashlib.sha256(files["model.onnx"]).hexdigest()
    files["model.json"] = json.dumps(described).encode()
    told = drive("fail", song=song)
    assert told["problem"] == (
        "The model has the interface core, which leaves its STFT to the host; compile it with --target web."
    )


def test_a_model_that_is_gone(
    song: Path, files: dict[str, bytes], drive: Callable[..., dict[str, Any]]
) -> None:
    del files["small.onnx.data"]
    told = drive("fail", wrong=True, song=song)
    assert told["problem"] == "The model cannot be fetched. Check the connection, and try again."


def test_a_site_without_a_model(files: dict[str, bytes], drive: Callable[..., dict[str, Any]]) -> None:
    files["model.json"] = b"{}"
    told = drive("fail")
    assert told["problem"].startswith("The server has no model for this page")
    assert not told["choose"]


def test_too_little_memory(song: Path, drive: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    flac = tmp_path / "song.flac"
    soundfile.write(flac, *soundfile.read(song))
    script = (
        "OfflineAudioContext.prototype.decodeAudioData = async () => "
        "{ throw new RangeError('Array buffer allocation failed'); };"
    )
    told = drive("fail", song=flac, script=script)
    assert told["problem"].startswith("There is not enough memory for this song on this device.")


def test_a_full_disk(drive: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, synthetic_song(6 * RATE, RATE).T, RATE, "FLOAT")
    told = drive("fail", song=song, room=3_000_000)
    assert told["problem"].startswith("The browser has no room left for the stems.")
    assert (told["choose"], told["result"]) == (True, False)


def test_no_space_on_disk(song: Path, drive: Callable[..., dict[str, Any]]) -> None:
    """Workers that have no private file system keep the stems in memory, and the page says so."""
    script = """
        window.Worker = class extends Worker {
          constructor(url, options) {
            const source = `import "${url}"; delete StorageManager.prototype.getDirectory;`;
            super(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), options);
          }
        };
    """
    told = drive("separate", song=song, script=script, formats=["pcm16"])
    assert (told["problem"], told["folders"]) == (None, 0)
    assert told["notice"].startswith("This browser gives the page no space on disk")
    assert {soundfile.info(told["files"][f"{stem} pcm16"]).frames for stem in STEMS} == {3 * RATE}


def test_ten_minutes_in_flat_memory(
    files: dict[str, bytes], drive: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """After two minutes memory holds the decoded song, once; after ten no more, and at the end not even that.

    The stems that are made meanwhile would be as much as the song, each.
    """
    song = tmp_path / "song.wav"
    ten_seconds = np.round(0.5 * 2**15 * synthetic_song(10 * RATE, RATE).T).astype(np.int16)
    soundfile.write(song, np.tile(ten_seconds, (60, 1)), RATE)
    tiny = TinyModel(segment=2 * RATE, sample_rate=RATE)
    files |= site_files(tiny.save(tmp_path / "tiny.onnx", target="web", providers=("wasm",)))
    told = drive("memory", song=song, parts=[0.2, 0.95])
    song.unlink()  # a hundred megabytes, which pytest would keep
    assert told["result"]
    decoded = 600 * RATE * 2 * 4
    early, late, end = told["memory"]
    assert decoded < early["rest"] < 1.25 * decoded
    assert late["rest"] - early["rest"] < decoded / 50
    assert end["rest"] < decoded / 4
    assert early["wasm"] == late["wasm"] == end["wasm"] > 0


def test_cancelling(long_song: Path, drive: Callable[..., dict[str, Any]]) -> None:
    told = drive("cancel", song=long_song)
    assert told["cancelled"]["problem"] == "Cancelled. Nothing was kept."
    assert (told["cancelled"]["choose"], told["cancelled"]["folders"]) == (True, 0)
    assert told["result"]


def test_two_tabs(long_song: Path, drive: Callable[..., dict[str, Any]]) -> None:
    told = drive("tabs", song=long_song)
    assert told["refused"]["problem"].startswith("Another tab of this page is separating a song.")
    assert told["result"]


def test_without_a_connection(song: Path, drive: Callable[..., dict[str, Any]]) -> None:
    told = drive("offline", wrong=True, song=song)
    assert told["first"]["result"]
    assert (told["problem"], told["result"], told["isolated"]) == (None, True, True)


def test_a_server_without_headers(song: Path, drive: Callable[..., dict[str, Any]]) -> None:
    """The service worker isolates the page."""
    told = drive("fail", isolated=False, song=song)
    assert (told["problem"], told["notice"], told["isolated"]) == (None, None, True)
    assert told["result"]


def test_no_isolation_at_all(song: Path, drive: Callable[..., dict[str, Any]]) -> None:
    told = drive("fail", isolated=False, song=song, wrong=True, options={"serviceWorkers": "block"})
    assert "Cross-Origin-Opener-Policy: same-origin" in told["notice"]
    assert "Cross-Origin-Embedder-Policy: require-corp" in told["notice"]
    assert (told["isolated"], told["result"]) == (False, True)


def test_a_page_that_is_not_secure(drive: Callable[..., dict[str, Any]]) -> None:
    told = drive("fail", insecure=True, wrong=True)
    assert told["problem"].startswith("This page needs https (or localhost)")
    assert not told["choose"]


def test_tracks_play_in_step(song: Path, drive: Callable[..., dict[str, Any]]) -> None:
    told = drive("play", song=song)
    assert (told["focused"], told["label"], told["contexts"]) == ("finished", "Pause", 1)
    for starts in (told["first"], told["sought"]):
        assert len(starts) == 3
        assert len({tuple(start) for start in starts}) == 1
    assert told["first"][0][1:] == [3 * RATE, RATE]
    assert told["sought"][0][1] == 2 * RATE
    assert told["muted"] == [0, 0, 1]  # the original is mute from the beginning
    assert told["soloed"] == [0, 1, 0]
    assert (told["pressed"], told["time"]) == ("true", "0:03 / 0:03")
