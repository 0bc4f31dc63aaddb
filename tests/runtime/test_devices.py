"""Devices: which are found, and that none is trusted before it agrees with the CPU."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import soundfile
from command_line import run

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.runtime import Separator, devices, health
from onnx_demucs_compiler.runtime.devices import CPU, DEVICES, Device, DeviceError, find_device
from onnx_demucs_compiler.runtime.graph import Graph
from onnx_demucs_compiler.runtime.session import create_session

ROOT = Path(__file__).parents[2]


class Session:
    """A session on the CPU whose stems come out changed."""

    def __init__(self, path: Path, change: Any) -> None:
        self._session = create_session(path, 1)
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, names: Any, feeds: Any) -> list[np.ndarray]:
        return [self._change(output) for output in self._session.run(names, feeds)]


@dataclass(frozen=True)
class MadeUp(Device):
    """A device that does to the CPU's stems what it is told to."""

    change: Any = None

    def open(self, path: Path, threads: int | None) -> Any:
        if self.change is None:
            raise DeviceError("its driver or its libraries are missing, or too old")
        return Session(path, self.change)


def fails(_: np.ndarray) -> np.ndarray:
    raise RuntimeError("device lost")


def one_stem_wrong(stems: np.ndarray) -> np.ndarray:
    """The first is right, and another channel of the last is silent."""
    wrong = stems.copy()
    wrong[:, -1, -1] = 0
    return wrong


CHANGES = {
    "exact": (lambda stems: stems, None),
    "near": (lambda stems: stems * np.float32(1 + 1e-4), None),
    "scaled": (lambda stems: stems * np.float32(1.01), "its stems are 40.0 dB SNR against the CPU, and 60"),
    "silent": (lambda stems: stems * 0, "its stems are 0.0 dB"),
    "one-stem": (one_stem_wrong, "its stems are "),
    "swapped": (lambda stems: stems[:, ::-1], "its stems are "),
    "nan": (lambda stems: stems * np.nan, "its stems are nan dB"),
    "lost": (fails, "onnxruntime cannot run the model (device lost)"),
    "absent": (None, "its driver or its libraries are missing"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(health, "cache_folder", lambda: folder)
    return folder


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(name: str) -> None:
        device = MadeUp("made-up", CPU.provider, "a test", "portable", change=CHANGES[name][0])
        monkeypatch.setattr(devices, "DEVICES", (*DEVICES, device))

    return make


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_wrong_is_not_used(
    name: str, made_up: Any, artifact: Path, song: Path, tmp_path: Path
) -> None:
    made_up(name)
    _, reason = CHANGES[name]
    result = run("separate", artifact, song, "-o", tmp_path / "device", "--device", "made-up")
    assert result.exit_code == 0
    if reason is None:
        assert result.stderr == ""
        assert re.match(
            r"made-up: (exactly as|8\d\.\d dB SNR against) the CPU on one segment\n", result.stdout
        )
        return
    [line] = result.stderr.splitlines()
    assert line.startswith(f"warning: made-up is not used: {reason}")
    assert line.endswith("; the CPU takes over")
    run("separate", artifact, song, "-o", tmp_path / "cpu", "--device", "cpu")
    for file in (tmp_path / "cpu").rglob("*.wav"):
        other = tmp_path / "device" / file.relative_to(tmp_path / "cpu")
        np.testing.assert_array_equal(soundfile.read(file)[0], soundfile.read(other)[0])


def count_checks(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    checks: list[Graph] = []
    original = health.agreement_db

    def counted(graph: Graph, reference: Graph) -> float:
        checks.append(graph)
        return original(graph, reference)

    monkeypatch.setattr(health, "agreement_db", counted)
    return checks


@pytest.mark.parametrize("name", ["near", "scaled"])
def test_the_outcome_is_remembered(
    name: str, made_up: Any, artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up(name)
    checks = count_checks(monkeypatch)
    first = Separator(artifact, device="made-up").health
    assert Separator(artifact, device="made-up").health == first
    assert (first.used == "cpu") == (name == "scaled")
    assert len(checks) == 1
    other = tmp_path / "other.onnx"
    other.write_bytes(artifact.read_bytes() + b"\x72\x00")  # an empty metadata entry
    Separator(other, device="made-up")
    monkeypatch.setattr(health, "DRIVERS", (str(artifact),))
    monkeypatch.setattr(health, "_drivers", lambda: ["another driver"])
    Separator(artifact, device="made-up")
    assert len(checks) == 3


def test_a_failure_to_run_is_not_remembered(
    made_up: Any, artifact: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up("lost")
    assert Separator(artifact, device="made-up").health.used == "cpu"
    made_up("exact")
    assert Separator(artifact, device="made-up").health.used == "made-up"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": "b"}', "[" * 100_000])
def test_a_damaged_memory_is_made_anew(content: str, made_up: Any, artifact: Path, cache: Path) -> None:
    made_up("near")
    cache.mkdir()
    (cache / "devices.json").write_text(content)
    assert Separator(artifact, device="made-up").health.used == "made-up"
    assert len(json.loads((cache / "devices.json").read_text())) == 1


def test_a_cache_that_cannot_be_written_is_done_without(made_up: Any, artifact: Path, cache: Path) -> None:
    made_up("near")
    cache.write_text("a file")
    assert Separator(artifact, device="made-up").health.used == "made-up"


def test_auto_takes_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_providers(*providers: str) -> str:
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*providers, CPU.provider])
        return find_device("auto").name

    assert with_providers() == "cpu"
    assert with_providers("CoreMLExecutionProvider") == "cpu"
    assert with_providers("DmlExecutionProvider") == "directml"
    assert with_providers("TensorrtExecutionProvider", "CUDAExecutionProvider") == "cuda"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda", "pip install onnxruntime-gpu, in place of onnxruntime"),
        ("xnnpack", "xnnpack needs a provider that is not installed: a build of ONNX Runtime with XNNPACK"),
        ("gpu", "there is no device gpu; there are auto, cpu, cuda"),
        ("absent.so", "absent.so: no such file"),
    ],
)
def test_devices_that_are_not_there(
    name: str, message: str, artifact: Path, song: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU.provider])
    result = run("separate", artifact, song, "-o", out, "--device", name)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert message in line
    assert not out.exists()


def test_a_provider_that_is_left_out_without_a_word_is_noticed(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As onnxruntime-gpu leaves out CUDA's where there is no driver."""
    original = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda path, options, chain, _, **rest: original(path, options, chain[-1:], **rest),
    )
    [cuda] = [device for device in DEVICES if device.name == "cuda"]
    with pytest.raises(DeviceError, match="its driver or its libraries are missing"):
        cuda.open(artifact, 1)


def test_a_library_that_is_no_provider(artifact: Path, song: Path, tmp_path: Path, out: Path) -> None:
    library = tmp_path / "plugin.so"
    library.write_bytes(b"no library")
    result = run("separate", artifact, song, "-o", out, "--device", library)
    assert result.exit_code == 0
    [line] = result.stderr.splitlines()
    assert line.startswith("warning: plugin is not used: ")


def test_the_summary_tells_the_device(made_up: Any, artifact: Path, song: Path, out: Path) -> None:
    made_up("exact")
    result = run("separate", artifact, song, "-o", out, "--device", "made-up", "--json")
    told = json.loads(result.stdout)["device"]
    same = {"device": "made-up", "used": "made-up", "snr_db": None, "reason": "", "instead": "cpu"}
    assert told == same
    result = run("separate", artifact, song, "-o", out, "--json")
    assert json.loads(result.stdout)["device"]["used"] == "cpu"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("/src/a.cc:65 f(X)::<lambda()> s == 1 was false. No adapters", "No adapters"),
        ("/src/b.cc:729 void g(A&, const B&) Please install TensorRT", "Please install TensorRT"),
        (
            "[ONNXRuntimeError] : 1 : FAIL : no (such) device",
            "[ONNXRuntimeError] : 1 : FAIL : no (such) device",
        ),
    ],
)
def test_reasons_without_places_in_the_source(told: str, reason: str) -> None:
    assert devices._why(RuntimeError(told)) == reason


def test_own_threads_and_tf32(monkeypatch: pytest.MonkeyPatch, artifact: Path) -> None:
    given: list[Any] = []

    def session(path: Path, options: Any, providers: Any, own: Any, **rest: Any) -> Any:
        given.append((options.intra_op_num_threads, providers, own[0], rest))
        raise RuntimeError("no such device")

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    by_name = {device.name: device for device in DEVICES}
    for name in ("xnnpack", "cuda", "tensorrt"):
        with pytest.raises(DeviceError, match="no such device"):
            by_name[name].open(artifact, 3)
    (xnnpack, cuda, tensorrt) = given
    assert xnnpack[0] == 1
    assert xnnpack[2] == {"intra_op_num_threads": "3"}
    assert cuda[2]["use_tf32"] == "0"
    assert cuda[3] == {"enable_fallback": 0}
    assert tensorrt[1] == ["TensorrtExecutionProvider", "CUDAExecutionProvider", CPU.provider]


def test_the_docs_have_every_device() -> None:
    text = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `?([^|`]+?)`? \| `(\w+)` \| (\w+) \| (\d+) \|", text, re.M)
    assert rows == [
        (one.name, one.provider, one.package, one.target, one.precision, f"{one.floor_db:.0f}")
        for one in DEVICES
        if one is not CPU
    ]


def test_cpu_needs_no_check(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = count_checks(monkeypatch)
    assert Separator(artifact).health.line == ""
    assert checks == []
    with pytest.raises(UsageError):
        Separator(artifact, device="gpu")
