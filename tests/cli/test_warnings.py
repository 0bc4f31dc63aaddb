"""Warnings: a line each on stderr, and the work goes on."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_examples import run, strict_json

from onnx_demucs_compiler import loading


@pytest.fixture(autouse=True)
def _loaded_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    load = loading.load_model

    def warned(*arguments: Any, **options: Any) -> loading.SourceModel:
        return replace(load(*arguments, **options), warnings=("its weights\nare odd",))

    monkeypatch.setattr(loading, "load_model", warned)


def test_compile_warns_in_a_line_and_in_the_report(checkpoint: Path, folder: Path) -> None:
    result = run("compile", checkpoint, "--no-verify", "--json")
    assert (result.exit_code, result.stderr) == (0, "warning: its weights are odd\n")
    assert strict_json(result.stdout)["warnings"] == ["its weights\nare odd"]


def test_verify_warns_in_a_line(artifact: Path, checkpoint: Path) -> None:
    result = run("verify", artifact, "--model", checkpoint)
    assert (result.exit_code, result.stderr) == (0, "warning: its weights are odd\n")


def test_warnings_of_python_are_for_developers(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = loading.load_model

    def deprecated(*arguments: Any, **options: Any) -> loading.SourceModel:
        warnings.warn("an argument has gone", stacklevel=1)
        return load(*arguments, **options)

    monkeypatch.setattr(loading, "load_model", deprecated)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run("compile", checkpoint, "--no-verify")
    assert not told


def test_quiet_warns_of_nothing(artifact: Path, checkpoint: Path, folder: Path) -> None:
    for command in (["compile", checkpoint, "--no-verify"], ["verify", artifact, "--model", checkpoint]):
        result = run(*command, "--quiet")
        assert (result.exit_code, result.stderr) == (0, "")
