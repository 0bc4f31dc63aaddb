"""An artefact on disk against the model it was compiled from."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from engine_examples import TwoStems, two_stems
from onnx import numpy_helper

from onnx_demucs_compiler import CompilerError, UsageError, compile, verify
from onnx_demucs_compiler.fidelity import FidelityError
from onnx_demucs_compiler.verification import artifact_metadata, load_artifact


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile(two_stems()).save(tmp_path_factory.mktemp("artifact") / "two.onnx")


def changed(artifact: Path, path: Path, **properties: str) -> Path:
    model = onnx.load(artifact)
    for item in model.metadata_props:
        item.value = properties.get(item.key.removeprefix("onnx_demucs."), item.value)
    onnx.save(model, path)
    return path


def test_a_good_artefact(artifact: Path) -> None:
    measurements = verify(artifact, two_stems())
    assert {item.signal for item in measurements} == {"noise", "song", "silence"}
    assert all(item.passes(100) for item in measurements)
    assert (
        verify(str(artifact), two_stems(), extra_signals={"mine": torch.ones(1, 2, 800)})[-1].signal == "mine"
    )


def test_the_module_is_not_changed(artifact: Path) -> None:
    module = two_stems().double().train()
    verify(artifact, module)
    assert module.training
    assert module.convolution.weight.dtype == torch.float64


def test_other_weights(artifact: Path) -> None:
    with pytest.raises(CompilerError, match="was compiled from other weights"):
        verify(artifact, TwoStems())


def test_a_weight_that_is_off(artifact: Path, tmp_path: Path) -> None:
    model = onnx.load(artifact)
    [weight] = [item for item in model.graph.initializer if item.name == "convolution.weight"]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.0001), weight.name))
    onnx.save(model, tmp_path / "off.onnx")
    with pytest.raises(FidelityError, match="below the gate of 100 dB"):
        verify(tmp_path / "off.onnx", two_stems())
    assert verify(tmp_path / "off.onnx", two_stems(), min_snr_db=60)


def test_the_gate_can_be_raised(artifact: Path) -> None:
    with pytest.raises(FidelityError, match="below the gate of 500 dB"):
        verify(artifact, two_stems(), min_snr_db=500)


def test_a_precision_that_this_version_does_not_know(artifact: Path, tmp_path: Path) -> None:
    path = changed(artifact, tmp_path / "odd.onnx", precision="int3")
    with pytest.raises(CompilerError, match="no gate is known for precision int3"):
        verify(path, two_stems())
    assert verify(path, two_stems(), min_snr_db=100)


def test_the_model_named_in_the_metadata_is_the_default(artifact: Path) -> None:
    with pytest.raises(UsageError, match="no model named 'TwoStems'"):
        verify(artifact)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "not made by onnx-demucs-compile"),
        (b"not a model" * 100, "is not an ONNX model"),
    ],
)
def test_what_is_no_artefact(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CompilerError, match=message):
        verify(path, two_stems())


def test_a_truncated_artefact(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "half.onnx").write_bytes(artifact.read_bytes()[:-20])
    with pytest.raises(CompilerError):
        verify(tmp_path / "half.onnx", two_stems())


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match="not a file"):
        load_artifact(tmp_path)


def test_an_artefact_of_someone_else(artifact: Path, tmp_path: Path) -> None:
    model = onnx.load(artifact)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(CompilerError, match="not made by onnx-demucs-compile"):
        artifact_metadata(tmp_path / "foreign.onnx")


@pytest.mark.parametrize("garbled", [{"sources": "["}, {"sample_rate": "fast"}, {"versions": "[1]"}])
def test_garbled_metadata(garbled: dict[str, str], artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match="lacks or garbles"):
        artifact_metadata(changed(artifact, tmp_path / "garbled.onnx", **garbled))
