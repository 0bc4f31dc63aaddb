"""Core ML's packages, where coremltools is installed: read back, since only Apple's systems run them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from onnx_demucs_compiler import compile
from onnx_demucs_compiler.artifact.emitted import EmittedModel
from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
from onnx_demucs_rules.examples import small_htdemucs

coremltools = pytest.importorskip("coremltools", reason="coremltools is not installed")


@pytest.fixture(scope="module")
def shallow() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return small_htdemucs(depth=1, t_layers=2)


@pytest.fixture(scope="module")
def emitted(shallow: nn.Module) -> EmittedModel:
    return compile(shallow, emit="mlpackage")


@pytest.fixture(scope="module")
def spec(emitted: EmittedModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = emitted.save(tmp_path_factory.mktemp("package") / "small.mlpackage")
    return coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()


def test_its_ports_and_its_metadata(emitted: EmittedModel, spec: Any) -> None:
    [mix], [stems] = spec.description.input, spec.description.output
    assert (mix.name, list(mix.type.multiArrayType.shape)) == ("mix", [1, 2, 4096])
    assert (stems.name, list(stems.type.multiArrayType.shape)) == ("stems", [1, 2, 2, 4096])
    told = dict(spec.description.metadata.userDefined)
    assert ArtifactMetadata.from_props(told) == emitted.metadata
    assert not any("date" in key for key in told)


def test_it_is_listed_and_not_measured(emitted: EmittedModel) -> None:
    assert emitted.report.fidelity == ()
    assert emitted.report.operators["scaled_dot_product_attention"] == 4
    assert "const" not in emitted.report.operators
    [warning] = emitted.report.warnings
    assert warning.startswith("a .mlpackage cannot run on this system: it was converted and read back")


def test_the_same_model_gives_the_same_bytes(emitted: EmittedModel, shallow: nn.Module) -> None:
    assert compile(shallow, emit="mlpackage", verify=False).content == emitted.content


def test_half_precision_is_computed_between_ports_of_float32(shallow: nn.Module, tmp_path: Path) -> None:
    half = compile(shallow, emit="mlpackage", precision="fp16")
    assert half.metadata.precision == "fp16"
    spec = coremltools.models.MLModel(
        str(half.save(tmp_path / "half.mlpackage")), skip_model_load=True
    ).get_spec()
    ports = [*spec.description.input, *spec.description.output]
    float32 = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32
    assert {port.type.multiArrayType.dataType for port in ports} == {float32}
    main = spec.mlProgram.functions["main"]
    operations = main.block_specializations[main.opset].operations
    kinds = {
        operation.outputs[0].type.tensorType.dataType for operation in operations if operation.type == "conv"
    }
    assert kinds == {coremltools.proto.MIL_pb2.DataType.FLOAT16}


def test_a_package_is_replaced_as_a_whole(emitted: EmittedModel, tmp_path: Path) -> None:
    path = emitted.save(tmp_path / "small.mlpackage")
    (path / "older").write_text("gone")
    emitted.save(path)
    assert not (path / "older").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["small.mlpackage"]
