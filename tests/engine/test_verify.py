"""An artifact on disk against the model it was compiled from."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from engine_examples import TwoStems, two_stems
from onnx import numpy_helper

from onnx_demucs_compiler import CompilerError, UsageError, compile, verify
from onnx_demucs_compiler.artifact.digest import digest
from onnx_demucs_compiler.artifact.reading import load_artifact
from onnx_demucs_compiler.checking.fidelity import FidelityError
from onnx_demucs_compiler.checking.verification import ChangedError, artifact_metadata


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile(two_stems()).save(tmp_path_factory.mktemp("artifact") / "two.onnx")


def changed(artifact: Path, path: Path, **properties: str) -> Path:
    model = onnx.load(artifact)
    for item in model.metadata_props:
        item.value = properties.get(item.key.removeprefix("onnx_demucs."), item.value)
    onnx.save(model, path)
    return path


def test_a_good_artifact(artifact: Path) -> None:
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


@pytest.mark.parametrize("stems", [None, ("noise",)])
def test_a_compile_calls_the_module_once_for_each_signal(
    stems: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call before the trace is that on noise."""
    forward, called = TwoStems.forward, []

    def watched(self: TwoStems, mix: torch.Tensor) -> torch.Tensor:
        if type(mix) is torch.Tensor and mix.dtype == torch.float32:
            called.append(mix)
        return forward(self, mix)

    monkeypatch.setattr(TwoStems, "forward", watched)
    report = compile(two_stems(), stems=stems).report
    assert len(called) == 3
    assert min(item.torch_snr_db for item in report.fidelity if item.signal == "noise") > 120


def test_another_example_is_not_the_noise() -> None:
    report = compile(two_stems(), example_input=torch.ones(1, 2, 800)).report
    assert min(item.torch_snr_db for item in report.fidelity if item.signal == "noise") > 120


def test_other_weights(artifact: Path) -> None:
    with pytest.raises(CompilerError, match="was compiled from other weights"):
        verify(artifact, TwoStems())


def test_a_weight_that_is_off(artifact: Path, tmp_path: Path) -> None:
    model = onnx.load(artifact)
    [weight] = [item for item in model.graph.initializer if item.name == "convolution.weight"]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.0001), weight.name))
    onnx.save(model, tmp_path / "off.onnx")
    with pytest.raises(ChangedError, match=r"off\.onnx was changed .*below the gate of 100 dB") as fails:
        verify(tmp_path / "off.onnx", two_stems())
    assert not fails.value.measurements
    with pytest.raises(ChangedError) as passes:
        verify(tmp_path / "off.onnx", two_stems(), min_snr_db=60)
    assert 60 < min(item.gated_db for item in passes.value.measurements) < 100


def test_a_graph_that_no_runtime_takes_any_more(artifact: Path, tmp_path: Path) -> None:
    model = onnx.load(artifact)
    model.graph.node[0].op_type = "Simplified"
    model.producer_name, model.producer_version = "simplifier", "1"
    onnx.save(model, tmp_path / "broken.onnx")
    with pytest.raises(ChangedError, match=r"was changed .* producer is simplifier 1; .*Simpl"):
        verify(tmp_path / "broken.onnx", two_stems())


def test_an_artifact_has_its_digest(artifact: Path) -> None:
    model = load_artifact(artifact)
    assert artifact_metadata(artifact).digest == digest(model)
    model.graph.node[0].name = "renamed"
    assert artifact_metadata(artifact).digest != digest(model)


def test_an_artifact_without_a_digest_is_measured(artifact: Path, tmp_path: Path) -> None:
    model = onnx.load(artifact)
    [told] = [item for item in model.metadata_props if item.key == "onnx_demucs.digest"]
    model.metadata_props.remove(told)
    model.graph.node[0].name = "renamed"
    onnx.save(model, tmp_path / "older.onnx")
    assert verify(tmp_path / "older.onnx", two_stems())


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
        (b"", "was not written by this compiler.*its producer is unnamed"),
        (b"not a model" * 100, "is not an ONNX model"),
    ],
)
def test_what_is_no_artifact(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CompilerError, match=message):
        verify(path, two_stems())


def test_a_truncated_artifact(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "half.onnx").write_bytes(artifact.read_bytes()[:-20])
    with pytest.raises(CompilerError):
        verify(tmp_path / "half.onnx", two_stems())


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match="not a file"):
        load_artifact(tmp_path)


def test_an_artifact_of_someone_else(artifact: Path, tmp_path: Path) -> None:
    model = onnx.load(artifact)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(CompilerError, match=r"foreign\.onnx was not written by this compiler"):
        artifact_metadata(tmp_path / "foreign.onnx")


@pytest.mark.parametrize("garbled", [{"sources": "["}, {"sample_rate": "fast"}, {"versions": "[1]"}])
def test_garbled_metadata(garbled: dict[str, str], artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(CompilerError, match="lacks or garbles"):
        artifact_metadata(changed(artifact, tmp_path / "garbled.onnx", **garbled))
