"""The target ``openvino``, without OpenVINO; with it in ``tests/engines``."""

import pytest

from onnx_demucs_compiler import CompilerError, UsageError, compile
from onnx_demucs_compiler.contracts import CONTRACTS
from onnx_demucs_compiler.contracts.reading import described
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.runtime.openvino import OpenVino
from onnx_demucs_rules.examples import small_htdemucs


def test_openvino_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVino, "is_available", False)
    steps: list[str] = []
    with pytest.raises(CompilerError) as caught:
        compile("untrained:htdemucs", target="openvino", on_step=steps.append)
    assert str(caught.value) == (
        "target openvino is measured in OpenVINO, which is not installed: "
        "pip install 'onnx-demucs-compiler[openvino]'"
    )
    assert steps == []


def test_a_file_that_is_not_measured_needs_no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenVino, "is_available", False)
    compiled = compile(small_htdemucs(), target="openvino", verify=False)
    assert "openvino" not in dict(compiled.metadata.versions)
    assert [found for found in CONTRACTS["openvino"](described(compiled.model, 0)) if found.breaks] == []


def test_eight_bits_are_not_there_yet() -> None:
    with pytest.raises(UsageError, match="target=openvino has no precision=int8; use fp32 or fp16-weights"):
        Options(target="openvino", precision="int8")
    with pytest.raises(UsageError, match="target=openvino excludes quality: it is chosen by measuring ONNX"):
        Options(target="openvino", quality="careful")
