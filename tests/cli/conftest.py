from pathlib import Path

import pytest
from cli_examples import run, succeeds, write_two_stems


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a model that compiles in about a second."""
    return write_two_stems(tmp_path_factory.mktemp("checkpoint") / "two.th")


@pytest.fixture(scope="session")
def artifact(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It, compiled by the command. Tests must leave it as it is."""
    path = tmp_path_factory.mktemp("artifact") / "two.onnx"
    succeeds(run("compile", checkpoint, "-o", path, "--quiet"))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
