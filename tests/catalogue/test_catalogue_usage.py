"""Options of catalogues, refused in one line before Ray is started."""

import sys
from pathlib import Path
from types import ModuleType

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


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "tiny.onnx",
            ["--device", "cuda"],
            "device cuda is one of ONNX Runtime's, and openvino is on the CPU",
        ),
        ("tiny.ort", [], "tiny.ort is in ORT format, which only ONNX Runtime reads; give the .onnx file"),
    ],
)
def test_what_openvino_cannot_do(
    name: str,
    arguments: list[str],
    message: str,
    artifact: Path,
    library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / name
    model.write_bytes(artifact.read_bytes() if name == "tiny.onnx" else b"\x20\0\0\0ORTM and more")
    result = run("separate", model, library, "--ray", "--runtime", "openvino", *arguments)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert message in line
    assert str(tmp_path / "cache") not in line
