"""From a checkpoint as demucs writes it, in half precision, to a file of half the bytes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from demucs import states
from torch import nn
from typer.testing import CliRunner

from onnx_demucs_compiler.cli import app

Package = dict[str, Any]
Write = Callable[..., Path]


@pytest.fixture
def checkpoint(tiny_model: nn.Module, package: Package, write_checkpoint: Write) -> Path:
    package["state"] = states.get_state(tiny_model, None, half=True)
    return write_checkpoint(package)


def run(checkpoint: Path, output: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["compile", str(checkpoint), "-o", str(output), "--json", *options])


def test_nothing_of_a_released_checkpoint_is_rounded(checkpoint: Path, tmp_path: Path) -> None:
    result = run(checkpoint, tmp_path / "half.onnx", "--precision", "fp16-weights")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert set(report["stored"]) == {"float16, lossless", "float32"}
    assert report["min_snr_db"] == 100
    assert report["bytes"] == (tmp_path / "half.onnx").stat().st_size


def test_a_floor_out_of_reach_is_one_line_and_no_file(checkpoint: Path, tmp_path: Path) -> None:
    result = run(checkpoint, tmp_path / "eight.onnx", "--precision", "int8", "--min-snr", "150")
    assert result.exit_code == 1, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("error: int8 cannot keep 150 dB: even in float16 ")
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]
