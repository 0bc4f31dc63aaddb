"""Options of catalogues, refused in one line before Ray is started."""

import sys
from pathlib import Path

import pytest
from command_line import run


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--workers", "2"], 2, "--workers goes with --ray or --ray-address"),
        (["-o", "s3://bucket/out"], 2, "s3://bucket/out is no path of this machine"),
        (["s3://bucket/song.wav"], 2, "s3://bucket/song.wav is no path of this machine"),
    ],
)
def test_without_ray(arguments: list[str], code: int, message: str, artifact: Path, library: Path) -> None:
    result = run("separate", artifact, library / "0", *arguments)
    assert result.exit_code == code
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: {message}")


def test_a_missing_extra_is_named(artifact: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run("separate", artifact, library, "--ray")
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("error: --ray needs Ray: pip install 'onnx-demucs-runtime[ray]'")
