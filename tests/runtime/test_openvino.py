"""``--runtime openvino`` with a stand-in for OpenVINO; the real one is in ``tests/engines``."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import run
from tiny_model import TinyModel

from onnx_demucs_compiler.engines.openvino import without_telemetry
from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.runtime import Separator, openvino
from onnx_demucs_compiler.runtime.openvino import OPENVINO, OpenVino, chosen_device
from onnx_demucs_compiler.runtime.session import create_session

LONG = """Exception from src/inference/core.cpp:84:
Check 'false' failed at src/frontends/report.cpp:151:
Model wasn't converted:
-- no
"""


class StandIn:
    """ONNX Runtime as OpenVINO's adapter.

    ``behaviour`` makes what comes out, or what opening does in its place.
    """

    opening: Callable[[], None] | None = None
    running: Callable[[np.ndarray], np.ndarray] = staticmethod(lambda stems: stems)
    opened: list[tuple[int, Path | None]]

    def __init__(self, path: Path, threads: int, cache: Path | None) -> None:
        self.opened.append((threads, cache))
        if self.opening:
            self.opening()
        self._session = create_session(path, 1)
        self.inputs = {port.name: port.shape for port in self._session.get_inputs()}
        self.outputs = {port.name: port.shape for port in self._session.get_outputs()}
        self.metadata = self._session.get_modelmeta().custom_metadata_map

    def run(self, feeds: Any, outputs: list[str]) -> list[np.ndarray]:
        return [type(self).running(value) for value in self._session.run(outputs, feeds)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("onnx_demucs_compiler.runtime.health.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(openvino, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    class Fresh(StandIn):
        opened: list[tuple[int, Path | None]] = []  # noqa: RUF012 - of one test

    monkeypatch.setattr(openvino, "OpenVinoModel", Fresh)
    monkeypatch.setattr(OpenVino, "is_available", True)
    return Fresh


def test_its_stems_are_told_and_used(
    stand_in: type[StandIn], artifact: Path, song: Path, out: Path, cache: Path
) -> None:
    wishes = (artifact, song, "-o", out, "--runtime", "openvino", "--threads", "3")
    result = run("separate", *wishes)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[0] == "openvino: exactly as ONNX Runtime on one segment"
    told = json.loads(run("separate", *wishes, "--json").stdout)["device"]
    assert told == {
        "device": "openvino",
        "used": "openvino",
        "snr_db": None,
        "reason": "",
        "instead": "onnxruntime",
    }
    assert stand_in.opened == [(3, cache / "openvino")] * 2


def broken() -> None:
    raise RuntimeError(LONG)


def lost(_: np.ndarray) -> np.ndarray:
    raise RuntimeError(LONG)


@pytest.mark.parametrize(
    ("opening", "running", "reason"),
    [
        (
            None,
            lambda stems: stems * np.float32(1.01),
            "its stems are 40.0 dB SNR against ONNX Runtime, and 60",
        ),
        (broken, None, "Model wasn't converted: -- no;"),
        (None, lost, "OpenVINO cannot run the model (Model wasn't converted: -- no);"),
    ],
)
def test_what_is_wrong_is_not_used(
    opening: Any,
    running: Any,
    reason: str,
    stand_in: type[StandIn],
    artifact: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stand_in, "opening", opening and staticmethod(opening))
    monkeypatch.setattr(stand_in, "running", staticmethod(running))
    health = Separator(artifact, runtime="openvino").health
    assert (health.device, health.used) == ("openvino", "onnxruntime")
    assert health.line.startswith(f"openvino is not used: {reason}")
    assert health.line.endswith("; ONNX Runtime takes over")


def test_another_version_is_checked_again(
    stand_in: type[StandIn], artifact: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1.0", "1.0", "2.0"):
        monkeypatch.setattr(OpenVino, "version", version)
        Separator(artifact, runtime="openvino")
    assert len(json.loads((cache / "devices.json").read_text())) == 2


@pytest.mark.parametrize("device", ["cuda", "xnnpack", "plugin.so"])
def test_devices_of_onnxruntime(
    device: str, stand_in: type[StandIn], artifact: Path, song: Path, out: Path
) -> None:
    result = run("separate", artifact, song, "-o", out, "--runtime", "openvino", "--device", device)
    assert (result.exit_code, result.stdout) == (2, "")
    why = f"device {device} is one of ONNX Runtime's, and openvino is on the CPU; leave out one of them"
    assert result.stderr == f"error: {why}\n"
    assert not out.exists()
    assert chosen_device("openvino", "cpu", artifact) is OPENVINO


def test_files_in_ort_format(
    stand_in: type[StandIn], tiny: TinyModel, song: Path, tmp_path: Path, out: Path
) -> None:
    model = tmp_path / "tiny.ort"
    model.write_bytes(b"\x20\0\0\0ORTM and more")
    result = run("separate", model, song, "-o", out, "--runtime", "openvino")
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: {model} is in ORT format, which only ONNX Runtime reads; give the .onnx file\n"
    )


def test_openvino_that_is_not_installed(
    artifact: Path, song: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenVino, "is_available", False)
    result = run("separate", artifact, song, "-o", out, "--runtime", "openvino")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "error: runtime openvino needs a package that is not installed: "
        "pip install 'onnx-demucs-runtime[openvino]'\n"
    )
    assert not out.exists()


def test_a_runtime_that_there_is_not(artifact: Path) -> None:
    with pytest.raises(UsageError, match="no runtime tract; there are onnxruntime and openvino"):
        Separator(artifact, runtime="tract")


def test_a_file_that_is_not_there(stand_in: type[StandIn], song: Path, tmp_path: Path, out: Path) -> None:
    result = run("separate", tmp_path / "absent.onnx", song, "-o", out, "--runtime", "openvino")
    assert result.exit_code == 1
    assert result.stderr == f"error: {tmp_path / 'absent.onnx'}: no such file\n"


def test_telemetry_is_hidden_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino_telemetry", sys)
    with without_telemetry(), pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401
    assert sys.modules.pop("openvino_telemetry") is sys
    with without_telemetry():
        pass
    assert "openvino_telemetry" not in sys.modules
