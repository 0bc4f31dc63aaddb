"""What continuous integration runs beside ``make test``: other versions, and a failing step by its name."""

import importlib.util
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from markdown_blocks import ROOT
from packaging.requirements import Requirement

posix = pytest.mark.skipif(os.name == "nt", reason="shell scripts")


@pytest.fixture(scope="module")
def versions() -> ModuleType:
    spec = importlib.util.spec_from_file_location("versions", ROOT / ".ci" / "versions.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@posix
def test_a_failing_step_is_named(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    ended = subprocess.run(
        ["bash", script], env={**os.environ, "PYTHON": "false"}, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stdout.splitlines()[-1] == "== 0:00 min, failed with exit code 1: false --version"


def test_each_test_is_in_one_of_two_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = dict(re.findall(r'^(test[a-z-]*):.*\n.*pytest .* -m "(.*)"$', makefile, re.MULTILINE))
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert {f"step make {target}" for target in targets} <= set(steps)
    for full_size, thorough in itertools.product([False, True], repeat=2):
        marks = {"full_size": full_size, "thorough": thorough}
        assert [eval(chosen, {}, marks) for chosen in targets.values()].count(True) == 1


def test_every_package_has_a_lowest_and_a_pinned_version(versions: ModuleType) -> None:
    lowest = dict(line.split("==") for line in versions.lowest_versions())
    pinned = dict(line.split("==") for line in versions.PINNED if "==" in line and not line.startswith("#"))
    pins = {name.replace("_", "-").lower(): version for name, version in pinned.items()}
    for requirement in versions.requirements():
        assert requirement.specifier.contains(lowest[requirement.name])
        assert requirement.specifier.contains(pins[requirement.name])


def test_what_the_runtime_is_tested_with_has_no_torch(versions: ModuleType) -> None:
    names = {Requirement(text).name for text in versions.without_torch()}
    assert {"numpy", "onnxruntime", "soundfile", "soxr", "typer", "pytest"} <= names
    assert not names & {"demucs", "torch", "ruff", "mypy"}


def test_the_tests_of_the_runtime_are_collected_without_torch(versions: ModuleType) -> None:
    code = """
import sys, pytest
sys.modules |= {"torch": None, "demucs": None}
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""
    command = [sys.executable, "-c", code, *versions.RUNTIME]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


@posix
def test_an_interpreter_that_runs_is_found(
    versions: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shim of pyenv may be on PATH without a Python behind it."""

    def script(path: Path, told: str, code: int) -> str:
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\necho {told}\nexit {code}\n")
        path.chmod(0o755)
        return str(path)

    script(tmp_path / "shims" / "python3.99", "", 127)
    monkeypatch.setenv("PATH", str(tmp_path / "shims"), prepend=os.pathsep)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert versions.interpreter("3.99") is None
    script(tmp_path / "versions" / "3.99.0" / "bin" / "python", "", 1)
    runs = script(tmp_path / "versions" / "3.99.1" / "bin" / "python", "3.99", 0)
    assert versions.interpreter("3.99") == runs


def test_what_cannot_run_is_told(
    versions: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(versions, "OWN_PYTHON", "3.99")
    assert versions.main("lowest") == versions.main("3.98") == 0
    assert capsys.readouterr().out.splitlines() == [
        "skipped: this is Python 3.99, and the oldest is >=3.11",
        "skipped: no Python 3.98 on PATH or in pyenv",
    ]
