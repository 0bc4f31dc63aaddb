"""``web/separator`` makes the stems that Python makes: in Node, and in Chromium where there is one."""

import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from onnx_demucs_compiler import compile
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_compiler.runtime import Separator
from onnx_demucs_rules.examples import small_htdemucs

WEB = Path(__file__).parents[2] / "web"
SCRIPTS = WEB / "separator" / "test"
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium")
LEAST_DB = 100
RATE = 8000

if shutil.which("node") is None:
    pytest.skip("no node on this machine", allow_module_level=True)
if not (WEB / "separator" / "dist" / "index.js").exists():
    pytest.skip("web/separator is not built: make web-test", allow_module_level=True)

in_chromium = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine, and none in CHROMIUM")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in two files, and a song that is no whole number of segments."""
    folder = tmp_path_factory.mktemp("web")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = small_htdemucs()
    make_lively(module, seed=0)
    compile(module, target="web", verify=False).save(folder / "small.onnx")
    time = np.arange(11_000) / RATE
    tones = np.sin(2 * np.pi * np.outer([220, 330], time)) * 0.2 + 0.01
    song = tones + np.random.default_rng(0).normal(0, 0.1, (2, len(time)))
    soundfile.write(folder / "song.wav", song.T, RATE, "FLOAT")
    return folder


@pytest.fixture(scope="module")
def wanted(folder: Path) -> dict[str, np.ndarray]:
    song = soundfile.read(folder / "song.wav", dtype="float32")[0].T
    return Separator(folder / "small.onnx", threads=1).separate(song)


def run(script: str, *arguments: object) -> dict[str, Any]:
    """What a script says at its end."""
    command = ["node", SCRIPTS / script, *arguments]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=900)
    assert (ended.returncode, ended.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(ended.stdout)
    return answer


def least_snr(wanted: dict[str, np.ndarray], folder: Path) -> float:
    """Of the stems in a folder, in dB."""
    return min(snr(stem, soundfile.read(folder / f"{name}.wav")[0].T) for name, stem in wanted.items())


def snr(wanted: np.ndarray, found: np.ndarray) -> float:
    assert found.shape == wanted.shape
    wrong = np.square(found - wanted).sum()
    return 10 * math.log10(np.square(wanted).sum() / wrong) if wrong else math.inf


def test_in_node(folder: Path, wanted: dict[str, np.ndarray], tmp_path: Path) -> None:
    told = run("separate.mjs", folder / "small.onnx", folder / "song.wav", tmp_path)
    assert told["model"]["stems"] == list(wanted)
    assert told["model"]["providers"] == ["webgpu", "wasm"]
    assert told["provider"] == "wasm"
    assert told["notes"] == ["WebGPU is not used: this browser does not have it"]
    assert least_snr(wanted, tmp_path) > LEAST_DB


def in_browser(folder: Path, out: Path, mode: str) -> dict[str, Any]:
    told = run("browser.mjs", folder / "small.onnx", folder / "song.wav", out, BROWSER, mode)
    assert told["errors"] == []
    return told


@in_chromium
@pytest.mark.parametrize("mode", ["main", "worker", "moved", "bundled"])
def test_in_a_page(folder: Path, wanted: dict[str, np.ndarray], tmp_path: Path, mode: str) -> None:
    """Two threads, and no more fetched than WebAssembly alone needs, as built and in a bundle of Vite.

    The mix is left to the caller, unless it is moved to the worker; shared memory never is.
    """
    told = in_browser(folder, tmp_path, mode)
    assert (told["isolated"], told["provider"], told["threads"]) == (True, "wasm", 2)
    assert told["notes"] == ["WebGPU is not used: this browser finds no GPU for it"]
    assert told["progress"][-1] == [11_000, 11_000]
    assert told["left"] == ([0, 0] if mode == "moved" else [11_000, 11_000])
    assert any("worker" in path for path in told["asked"]) == (mode != "main")
    assert not [path for path in told["asked"] if "webgpu" in path or "asyncify" in path]
    assert least_snr(wanted, tmp_path) > LEAST_DB


@in_chromium
def test_a_page_that_is_not_isolated(folder: Path, wanted: dict[str, np.ndarray], tmp_path: Path) -> None:
    told = in_browser(folder, tmp_path, "plain")
    assert (told["isolated"], told["threads"]) == (False, 1)
    assert told["notes"][1:] == [
        "WebAssembly has 1 of 2 threads: others need a page that is cross-origin isolated"
    ]
    assert least_snr(wanted, tmp_path) > LEAST_DB


@in_chromium
def test_a_worker_ends_and_comes_back(folder: Path, wanted: dict[str, np.ndarray], tmp_path: Path) -> None:
    told = in_browser(folder, tmp_path, "abort")
    failures = {"aborted": "AbortError", "refused": "mix", "failed": "RangeError"}
    failures |= {"unloadable": "session", "released": "released"}
    assert {name: told[name] for name in failures} == failures
    assert told["blocks"] == 1
    assert told["asked"].count("/dist/worker.js") > 2
    assert told["asked"].count("/model/small.onnx.data") == 1, "it comes from the cache"
    assert least_snr(wanted, tmp_path) > LEAST_DB


@in_chromium
def test_an_adapter_in_software(folder: Path, tmp_path: Path) -> None:
    told = in_browser(folder, tmp_path, "software")
    assert told["notes"] == ["WebGPU is not used: the only GPU is one in software"]
    assert not [path for path in told["asked"] if "webgpu" in path]


@in_chromium
def test_webgpu_until_the_device_is_lost(folder: Path, wanted: dict[str, np.ndarray], tmp_path: Path) -> None:
    told = in_browser(folder, tmp_path, "webgpu")
    assert (told["before"]["provider"], told["before"]["notes"]) == ("webgpu", [])
    assert told["provider"] == "wasm"
    assert told["notes"] == ["WebGPU was left in the middle: the device was lost (Device was destroyed.)"]
    assert least_snr(wanted, tmp_path) > 95
    assert least_snr({f"{name}-lost": stem for name, stem in wanted.items()}, tmp_path) > 95


@in_chromium
@pytest.mark.full_size
def test_a_segment_of_htdemucs(tmp_path: Path) -> None:
    """Five seconds, which one run of the real architecture separates."""
    model, song = tmp_path / "htdemucs.onnx", tmp_path / "song.wav"
    compile("untrained:htdemucs", target="web", verify=False).save(model)
    mix = synthetic_song(5 * 44100, 44100)
    soundfile.write(song, mix.T, 44100, "FLOAT")
    told = run("browser.mjs", model, song, tmp_path, BROWSER, "worker")
    assert (told["errors"], told["isolated"], told["threads"]) == ([], True, 2)
    assert told["progress"] == [[5 * 44100, 5 * 44100]]
    assert least_snr(Separator(model).separate(mix), tmp_path) > LEAST_DB
