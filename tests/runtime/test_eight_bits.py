"""Products of bytes on this processor, and what is said of one that lacks them."""

import base64
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from command_line import run
from onnx import TensorProto
from tiny_model import TinyModel

from onnx_demucs_compiler.runtime import Separator, eight_bits
from onnx_demucs_compiler.runtime.eight_bits import INTEGER, PLAIN, WORTHWHILE, EightBits, drawback

EIGHT = {"precision": "int8"}
"""What the metadata say; no artifact is so small that it would really have weights in eight bits."""


def lacks(monkeypatch: pytest.MonkeyPatch, found: EightBits) -> None:
    monkeypatch.setattr(eight_bits, "eight_bits", lambda: found)


@pytest.mark.parametrize(
    ("model", "operator", "types"),
    [
        (INTEGER, "MatMulInteger", [TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32]),
        (PLAIN, "MatMul", [TensorProto.FLOAT] * 3),
    ],
)
def test_models_are_what_is_said_of_them(model: str, operator: str, types: list[int]) -> None:
    found = onnx.load_from_string(base64.b64decode(model))
    onnx.checker.check_model(found, full_check=True)
    [node] = found.graph.node
    assert (node.op_type, *node.input, *node.output) == (operator, "x", "w", "y")
    assert [port.type.tensor_type.elem_type for port in (*found.graph.input, *found.graph.output)] == types


def test_this_processor_is_measured_once() -> None:
    found = eight_bits.eight_bits()
    assert found.speed > 0
    assert eight_bits.eight_bits() is found


@pytest.mark.parametrize(
    ("found", "lack"),
    [
        (EightBits(exact=True, speed=WORTHWHILE), ""),
        (EightBits(exact=True, speed=1.24), "multiplies bytes only 1.2 times as fast as float32"),
        (EightBits(exact=False, speed=4), "adds products of bytes up in 16 bits, which overflow"),
    ],
)
def test_what_a_processor_lacks(found: EightBits, lack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, found)
    assert found.lack == lack
    assert drawback("fp16-weights") == ()
    told = drawback("int8")
    assert bool(told) is bool(lack)
    assert all(f"this processor {lack}, and the model computes in eight bits" in line for line in told)


def test_separate_tells_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacks(monkeypatch, EightBits(exact=False, speed=1))
    songs = [tmp_path / name for name in ("one.wav", "two.wav")]
    for song in songs:
        soundfile.write(song, np.zeros((800, 2)), 8000)
    model = TinyModel().save(tmp_path / "tiny.onnx", **EIGHT)
    result = run("separate", model, *songs, "-o", tmp_path / "stems")
    assert result.exit_code == 0
    [line] = result.stderr.splitlines()
    assert line.startswith("warning: this processor adds products of bytes up in 16 bits, which overflow")
    assert run("separate", model, *songs, "-o", tmp_path / "quiet", "-q").stderr == ""


def test_nothing_is_measured_for_other_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure() -> EightBits:
        raise AssertionError("a model in float32 was no reason to measure")

    monkeypatch.setattr(eight_bits, "eight_bits", measure)
    assert Separator(TinyModel().save(tmp_path / "tiny.onnx")).warnings == ()
