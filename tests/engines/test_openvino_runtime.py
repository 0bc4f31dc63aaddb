"""``--runtime openvino`` and ``--target openvino`` with OpenVINO itself, of build/engines/openvino."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
from command_line import run
from environments import installed
from small_model import small_model

from onnx_demucs_compiler import CompilerError, compile
from onnx_demucs_compiler.checking.fidelity import worst_db
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.engines import interpreter
from onnx_demucs_compiler.engines.openvino import OpenVinoModel
from onnx_demucs_compiler.runtime import Separator
from onnx_demucs_compiler.runtime.graph import Graph
from onnx_demucs_compiler.runtime.health import agreement_db
from onnx_demucs_compiler.runtime.openvino import OPENVINO

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "tests" / "fixtures" / "4c9b12d" / "artifacts"
REFUSED = {"track"}
"""A Scan in a form of that commit, which OpenVINO does not take."""
KINDS = sorted({path.stem for path in ARTIFACTS.glob("*.onnx")} - REFUSED)
WHERE = "import sysconfig; print(sysconfig.get_path('purelib'))"


@pytest.fixture(scope="module", autouse=True)
def importable(environments: None) -> Iterator[None]:
    """The packages of that environment, behind those of this one."""
    tell = [interpreter(installed("openvino")), "-c", WHERE]
    folder = subprocess.run(tell, capture_output=True, text=True, check=True).stdout.strip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, folder])
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "onnx-demucs"


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "song.wav", synthetic_song(12000, 8000).T, 8000, "FLOAT")
    return tmp_path / "song.wav"


def opened(path: Path) -> Graph:
    return Graph(path, 1, OPENVINO)


@pytest.mark.parametrize("kind", KINDS)
def test_artifacts_of_every_kind_are_right(kind: str) -> None:
    path = ARTIFACTS / f"{kind}.onnx"
    graph, usual = opened(path), Graph(path, 1)
    assert graph.metadata == usual.metadata
    assert agreement_db(graph, usual) > 100


def test_a_track_is_right(tmp_path: Path) -> None:
    path = tmp_path / "track.onnx"
    onnx.save(compile(small_model(), track=True, verify=False).model, path)
    graph, usual = opened(path), Graph(path, 1)
    mix = synthetic_song(graph.metadata.segment * 5 // 2, 8000)[None]
    wanted, found = usual.run(mix), graph.run(mix)
    assert wanted.shape == found.shape
    assert 10 * np.log10(np.square(wanted).sum() / np.square(wanted - found).sum()) > 100


def test_the_stems_of_a_song(song: Path, tmp_path: Path, cache: Path) -> None:
    model = ARTIFACTS / "portable.onnx"
    for runtime in ("onnxruntime", "openvino"):
        wishes = ("--runtime", runtime, "--float32", "--clip-mode", "none", "--json")
        result = run("separate", model, song, "-o", tmp_path / runtime, *wishes)
        assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)["device"]
    assert (told["device"], told["used"], told["instead"]) == ("openvino", "openvino", "onnxruntime")
    assert told["snr_db"] > 100
    files = sorted((tmp_path / "onnxruntime").rglob("*.wav"))
    assert [file.stem for file in files] == ["bass", "drums", "vocals"]
    for file in files:
        wanted, found = (
            soundfile.read(folder / file.relative_to(tmp_path / "onnxruntime"))[0]
            for folder in (tmp_path / "onnxruntime", tmp_path / "openvino")
        )
        assert 10 * np.log10(np.square(wanted).sum() / np.square(wanted - found).sum()) > 100


def test_compiled_models_are_kept_by_their_content(tmp_path: Path, cache: Path) -> None:
    """A file of another name is found, another threads too, and a damaged one is made again."""
    model = ARTIFACTS / "portable.onnx"
    first = Separator(model, runtime="openvino", threads=1)
    [blob] = (cache / "openvino").iterdir()
    whole = blob.read_bytes()
    again = tmp_path / "again.onnx"
    again.write_bytes(model.read_bytes())
    written = blob.stat().st_mtime_ns
    Separator(again, runtime="openvino", threads=2)
    assert [(one, one.stat().st_mtime_ns) for one in (cache / "openvino").iterdir()] == [(blob, written)]
    blob.chmod(0o600)
    blob.write_bytes(whole[: len(whole) // 2])
    assert Separator(model, runtime="openvino", threads=1).health == first.health
    assert blob.stat().st_size == len(whole)
    Separator(ARTIFACTS / "demucs.onnx", runtime="openvino", threads=1)
    assert len(list((cache / "openvino").iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_done_without(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("a file")
    health = Separator(ARTIFACTS / "portable.onnx", runtime="openvino", threads=1).health
    assert health.used == "openvino"


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_what_openvino_refuses(kind: str, song: Path, tmp_path: Path) -> None:
    result = run("separate", ARTIFACTS / f"{kind}.onnx", song, "-o", tmp_path, "--runtime", "openvino")
    assert result.exit_code == 0
    [line] = result.stderr.splitlines()
    assert line.startswith("warning: openvino is not used: ")
    assert "Scan" in line
    assert "/src/" not in line
    assert line.endswith("; ONNX Runtime takes over")


def test_its_maker_is_told_nothing() -> None:
    opened(ARTIFACTS / "portable.onnx")
    assert "openvino" in sys.modules
    assert "openvino_telemetry" not in sys.modules


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")
def test_threads_are_not_pinned() -> None:
    """Of several processes with a thread each, all would share the first core."""
    usable = os.sched_getaffinity(0)
    if len(usable) < 2:
        pytest.skip("one core")
    graph = opened(ARTIFACTS / "portable.onnx")
    mix = synthetic_song(graph.metadata.segment, 8000)[None]
    seen: set[frozenset[int]] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for task in Path("/proc/self/task").iterdir():
                try:
                    seen.add(frozenset(os.sched_getaffinity(int(task.name))))
                except OSError:  # it has ended
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        graph.run(mix)
    done.set()
    watcher.join()
    assert seen == {frozenset(usable)}


def test_a_target_measured_in_openvino() -> None:
    compiled = compile(small_model(), target="openvino")
    assert compiled.metadata.target == "openvino"
    assert dict(compiled.metadata.versions)["openvino"] == version("openvino")
    portable = compile(small_model())
    both = [worst_db(one.report.fidelity) for one in (compiled, portable)]
    assert min(both) > 100
    assert both[0] != both[1]


def wrong_by_a_hundredth(
    self: OpenVinoModel, feeds: Any, outputs: Any, original: Any = OpenVinoModel.run
) -> Any:
    return [value * np.float32(1.01) for value in original(self, feeds, outputs)]


def refuses(*_: Any) -> None:
    raise RuntimeError("no kernel for that")


@pytest.mark.parametrize(
    ("name", "stand_in", "message"),
    [
        ("run", wrong_by_a_hundredth, r"parity failed: .* 40\.0 dB .*; measured in OpenVINO"),
        ("run", refuses, r"OpenVINO cannot run the model \(no kernel for that\)"),
        ("__init__", refuses, r"OpenVINO cannot load the compiled graph \(no kernel for that\)"),
    ],
)
def test_what_is_wrong_in_openvino_is_not_written(
    name: str, stand_in: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime is right all the while."""
    monkeypatch.setattr(OpenVinoModel, name, stand_in)
    with pytest.raises(CompilerError, match=message):
        compile(small_model(), target="openvino")
