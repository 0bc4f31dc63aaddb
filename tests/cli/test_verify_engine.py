"""``onnx-demucs verify --engine``, with a stand-in for tract that is ONNX Runtime in disguise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_examples import ROOT, fails_cleanly, run, strict_json, succeeds

from onnx_demucs_compiler.engines import ENGINES, ENVIRONMENTS, interpreter

TRACT = """
import os
import onnxruntime
class Tensor:
    def __init__(self, value): self.value = value
    def to_numpy(self): return self.value
class Model:
    def load(self, path):
        self.session = onnxruntime.InferenceSession(path)
        return self
    def input_count(self): return len(self.session.get_inputs())
    def input_name(self, index): return self.session.get_inputs()[index].name
    def set_input_fact(self, index, fact): assert fact.endswith(",f32")
    def into_model(self): return self
    def into_runnable(self): return self
    def run(self, values):
        print("chatter on standard output", flush=True)
        {behaviour}
        names = [port.name for port in self.session.get_inputs()]
        return [Tensor({scale} * value) for value in self.session.run(None, dict(zip(names, values)))]
onnx = Model
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a module called tract, in an environment of its own."""

    def install(scale: float = 1, behaviour: str = "", version: str = "0.0.1") -> None:
        packages, programs = tmp_path / "packages", tmp_path / "engines" / "tract" / "bin"
        (packages / f"tract-{version}.dist-info").mkdir(parents=True)
        programs.mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: tract\nVersion: {version}\n"
        (packages / f"tract-{version}.dist-info" / "METADATA").write_text(metadata)
        (packages / "tract.py").write_text(TRACT.format(scale=scale, behaviour=behaviour))
        (programs / "python").write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
        (programs / "python").chmod(0o755)
        monkeypatch.setenv(ENVIRONMENTS, str(tmp_path / "engines"))

    return install


def test_an_engine_that_is_right(artifact: Path, stand_in) -> None:
    stand_in()
    printed = succeeds(run("verify", artifact, "--engine", "tract"))
    for words in ("SNR of tract 0.0.1 against ONNX Runtime", "exact", "song", "peak memory", "onnxruntime"):
        assert words in printed
    assert succeeds(run("verify", artifact, "--engine", "tract", "--quiet")) == ""


def test_environments_by_a_relative_path(
    artifact: Path, stand_in, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ENVIRONMENTS, "engines")
    succeeds(run("verify", artifact.absolute(), "--engine", "tract"))


def test_an_engine_that_is_wrong(artifact: Path, stand_in) -> None:
    stand_in(scale=1.0001)
    wrong = run("verify", artifact, "--engine", "tract", "-q")
    fails_cleanly(wrong, 1, "tract 0.0.1 is wrong on this file", "80.0 dB SNR", "below the gate of 90 dB")
    succeeds(run("verify", artifact, "--engine", "tract", "--min-snr", 75))
    fails_cleanly(run("verify", artifact, "--engine", "tract", "--min-snr", "nan"), 2, "nan is not a gate")


def test_not_finite(artifact: Path, stand_in) -> None:
    stand_in(scale="float('nan')")
    result = run("verify", artifact, "--engine", "tract", "--json")
    assert result.exit_code == 1
    assert {item["snr_db"] for item in strict_json(result.stdout)["engine"]["agreements"]} == {None}


def test_against_the_model_too(artifact: Path, checkpoint: Path, stand_in) -> None:
    stand_in(scale=1.00001)
    arguments = ("verify", artifact, "--engine", "tract", "--model", checkpoint)
    assert "PyTorch float32" in succeeds(run(*arguments))
    facts = strict_json(succeeds(run(*arguments, "--json")))
    assert facts.keys() == {"engine", "fidelity"}
    assert [cost["engine"] for cost in facts["engine"]["costs"]] == ["tract", "onnxruntime"]
    assert all(item["snr_db"] is None or 99 < item["snr_db"] < 101 for item in facts["fidelity"])
    assert all(99 < item["snr_db"] < 101 for item in facts["engine"]["agreements"])


def test_contracts_beside_it(artifact: Path, stand_in) -> None:
    stand_in()
    printed = succeeds(run("verify", artifact, "--engine", "tract", "--contract", "official", "--json"))
    assert strict_json(printed).keys() == {"contracts", "engine"}


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("raise ValueError('no such operator. Stack backtrace: 0: main')",
         "tract 0.0.1 cannot run the file (no such operator.)"),
        ("os.kill(os.getpid(), 11)", "tract 0.0.1 ended with signal 11"),
        ("os._exit(3)", "tract 0.0.1 ended with exit code 3 (chatter on standard output)"),
    ],
)  # fmt: skip
def test_an_engine_that_fails(behaviour: str, message: str, artifact: Path, stand_in) -> None:
    stand_in(behaviour=behaviour)
    fails_cleanly(run("verify", artifact, "--engine", "tract"), 1, message)


def test_an_engine_that_is_not_installed(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENTS, raising=False)
    for name, engine in ENGINES.items():
        if engine.installed_version() is None:
            message = f"error: {name} is not installed: pip install "
            fails_cleanly(run("verify", artifact, "--engine", name), 1, message)


def test_what_cannot_be_asked(artifact: Path, checkpoint: Path, tmp_path: Path) -> None:
    fails_cleanly(run("verify", artifact, "--engine", "x"), 2, "unknown engine x; known: openvino, tract")
    fails_cleanly(run("verify", artifact, "--engine", "tract", "--audio", "x.wav"), 2, "add --model NAME")
    fails_cleanly(run("verify", tmp_path / "absent.onnx", "--engine", "tract"), 1, "no such file")


@pytest.mark.parametrize("options", [[], ["--json"]], ids=str)
def test_without_torch(artifact: Path, stand_in, options: list[str]) -> None:
    stand_in()
    code = (
        "import sys; sys.modules['torch'] = None; "
        "from onnx_demucs_compiler.__main__ import main; main(sys.argv[1:])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, "verify", str(artifact), "--engine", "tract", *options],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True,
    )  # fmt: skip
    assert (finished.returncode, finished.stderr) == (0, "")


def test_an_environment_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENTS, str(tmp_path))
    assert interpreter("tract") == sys.executable
    (tmp_path / "tract" / "bin").mkdir(parents=True)
    (tmp_path / "tract" / "bin" / "python").touch()
    assert interpreter("tract") == str(tmp_path / "tract" / "bin" / "python")
