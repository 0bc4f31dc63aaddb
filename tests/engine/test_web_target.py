"""The target ``web``: half precision where it is exact, two files, and what runs all of the graph."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from engine_examples import shallow_htdemucs, two_stems
from products_of_bytes import exact_products_of_bytes
from torch import Tensor, nn

from onnx_demucs_compiler import CompiledModel, UsageError, compile, default
from onnx_demucs_compiler.artifact.external import weights_path
from onnx_demucs_compiler.contracts import lint
from onnx_demucs_compiler.graph.storage import FLOAT32, LOSSLESS, ROUNDED
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.runtime import Separator
from onnx_demucs_compiler.runtime.session import session_options


class Recurrent(nn.Module):
    """An LSTM, as HDemucs has them."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0]


class Projection(nn.Module):
    """A product with a weight that is large enough for eight bits."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


@pytest.fixture(scope="module")
def half() -> nn.Module:
    """A model after a checkpoint in half precision, but for one weight."""
    module = shallow_htdemucs()
    with torch.no_grad():
        for weight in list(module.parameters())[1:]:
            weight.copy_(weight.half())
    return module


@pytest.fixture(scope="module")
def compiled(half: nn.Module) -> CompiledModel:
    return compile(half, target="web", verify=False)


def test_half_precision_where_it_is_exact(half: nn.Module, compiled: CompiledModel) -> None:
    full = compile(half, target="web", precision="fp32", verify=False)
    assert compiled.metadata.precision == compiled.report.options["precision"] == "fp16-weights"
    assert compiled.report.stored.keys() == {LOSSLESS, FLOAT32}
    assert full.report.stored.keys() == {FLOAT32}
    mix = np.random.default_rng(0).standard_normal((1, 2, 4096), np.float32)
    stems = []
    for model in (compiled.model, full.model):
        session = ort.InferenceSession(model.SerializeToString(), session_options(threads=1))
        stems += session.run(None, {"mix": mix})
    np.testing.assert_array_equal(*stems)


def test_rounding_is_asked_for() -> None:
    options = {"target": "web", "example_input": torch.zeros(1, 8, 64), "verify": False}
    assert ROUNDED not in compile(Projection(), **options).report.stored  # type: ignore[arg-type]
    asked = compile(Projection(), precision="fp16-weights", **options)  # type: ignore[arg-type]
    assert ROUNDED in asked.report.stored


def test_nothing_is_exact() -> None:
    """Another precision is not forced on a rule set without the rule, or a model without such weights."""
    for rules in (default, default - "fp16-weights"):
        plain = compile(two_stems(), rules, target="web", verify=False)
        assert plain.metadata.precision == "fp32"
    assert compile(two_stems(), verify=False).metadata.precision == "fp32"


def test_two_files_unless_one_is_asked_for(compiled: CompiledModel, tmp_path: Path) -> None:
    path = compiled.save(tmp_path / "x.onnx")
    assert sorted(tmp_path.iterdir()) == [path, weights_path(path)]
    assert [finding for finding in lint(path, ["web"])["web"] if finding.breaks] == []
    one = compiled.save(tmp_path / "one.onnx", external_data=False)
    assert not weights_path(one).exists()
    mix = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    found, wanted = (Separator(file, threads=1).separate(mix) for file in (path, one))
    np.testing.assert_array_equal(list(found.values()), list(wanted.values()))


def test_the_providers(compiled: CompiledModel) -> None:
    assert compiled.metadata.providers == ("webgpu", "wasm")
    assert compiled.report.warnings == ()
    assert compile(two_stems(), verify=False).metadata.providers == ()


def test_an_lstm_leaves_the_gpu() -> None:
    found = compile(Recurrent(), target="web", example_input=torch.zeros(3, 1, 4), verify=False)
    assert found.metadata.providers == ("wasm",)
    [warning] = found.report.warnings
    assert warning.startswith("not what target web promises (web): ai.onnx;14;LSTM has no WebGPU kernel")


@exact_products_of_bytes
def test_eight_bits_never_go_there() -> None:
    found = compile(Projection(), target="web", precision="int8", example_input=torch.randn(1, 8, 64))
    assert "MatMulInteger" in found.report.operators
    assert found.metadata.providers == ("wasm",)
    assert found.report.warnings == ()


def test_tracks_are_cut_by_the_page() -> None:
    with pytest.raises(UsageError, match="target=web excludes track: no WebGPU provider has Loop"):
        Options(target="web", track=True)
