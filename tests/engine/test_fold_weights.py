"""What is computed from weights, stored for those who want initializers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, quantize_dynamic, quantize_static
from torch import Tensor, nn

from onnx_demucs_compiler import CompiledModel, UsageError, compile
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.graph.storage import FLOAT32, FOLDED, ROUNDED
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_rules.examples import small_htdemucs

KEY = "onnx_demucs.fold_weights"
EXAMPLE = torch.zeros(1, 16, 100)


class Scaled(nn.Module):
    """A convolution of a scaled kernel, and one of a kernel as it is; both large enough to be rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(32, 16, 5))
        self.scale = nn.Parameter(torch.rand(32, 1, 1) + 0.5)
        self.second = nn.Conv1d(32, 32, 5, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        folded: Tensor = self.second(torch.conv1d(x, self.kernel * self.scale).tanh())
        return folded


@pytest.fixture(scope="module")
def scaled() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Scaled().eval()


@pytest.fixture(scope="module")
def folded(scaled: nn.Module) -> CompiledModel:
    return compile(scaled, example_input=EXAMPLE, fold_weights=True)


def test_a_product_stays_in_float32_where_weights_are_halved(scaled: nn.Module) -> None:
    compiled = compile(scaled, example_input=EXAMPLE, fold_weights=True, precision="fp16-weights")
    assert compiled.report.stored == {FOLDED: 4 * 32 * 16 * 5, ROUNDED: 2 * 32 * 32 * 5}


def test_without_it_each_weight_is_stored_once(scaled: nn.Module, folded: CompiledModel) -> None:
    plain = compile(scaled, example_input=EXAMPLE, verify=False)
    assert plain.report.stored == {FLOAT32: 4 * sum(weight.numel() for weight in scaled.parameters())}
    assert (plain.report.operators["Mul"], "Mul" in folded.report.operators) == (1, False)


def test_a_file_says_that_its_weights_are_folded(scaled: nn.Module, folded: CompiledModel) -> None:
    assert (folded.metadata.fold_weights, folded.metadata.to_props()[KEY]) == (True, "true")
    assert folded.report.options["fold_weights"]
    plain = compile(scaled, example_input=EXAMPLE, verify=False)
    assert (plain.metadata.fold_weights, KEY in plain.metadata.to_props()) == (False, False)


def test_onnxruntime_quantises_what_is_folded(
    scaled: nn.Module, folded: CompiledModel, tmp_path: Path
) -> None:
    plain = compile(scaled, example_input=EXAMPLE, verify=False)
    assert [kernels_in_bytes(made, tmp_path) for made in (plain, folded)] == [1, 2]
    session = ort.InferenceSession(tmp_path / "quantised.onnx", providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal(tuple(EXAMPLE.shape), dtype=np.float32)
    (got,) = session.run(None, {session.get_inputs()[0].name: x})
    wanted = scaled(torch.from_numpy(x)).detach().numpy()
    assert np.square(got - wanted).sum() < 0.01 * np.square(wanted).sum()


class Mixes(CalibrationDataReader):  # type: ignore[misc]
    """Some noise for a static quantiser to see the ranges of."""

    def __init__(self) -> None:
        self._left = iter([{"mix": noise(seed)} for seed in range(2)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)


def noise(seed: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((1, 2, 4096), dtype=np.float32)


@pytest.fixture(scope="module")
def separator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = small_htdemucs()
    make_lively(model, seed=0)
    folder = tmp_path_factory.mktemp("folded")
    return compile(model, fold_weights=True, verify=False).save(folder / "separator.onnx")


@pytest.mark.parametrize("quantise", [quantize_dynamic, lambda *files: quantize_static(*files, Mixes())],
                         ids=["dynamic", "static"])  # fmt: skip
def test_onnxruntime_quantises_a_separator(quantise: Any, separator: Path, tmp_path: Path) -> None:
    target = tmp_path / "quantised.onnx"
    quantise(separator, target)
    stems = [ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"mix": noise(2)})[0]
             for path in (separator, target)]  # fmt: skip
    assert in_bytes(target) > 20
    assert 10 < snr_db(*stems) < 90


def kernels_in_bytes(compiled: CompiledModel, folder: Path) -> int:
    """How many kernels ONNX Runtime's quantiser finds."""
    quantize_dynamic(compiled.save(folder / "plain.onnx"), folder / "quantised.onnx")
    return in_bytes(folder / "quantised.onnx")


def in_bytes(path: Path) -> int:
    stored = onnx.load(path).graph.initializer
    kinds = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    return sum(len(item.dims) > 1 and item.data_type in kinds for item in stored)


def test_it_is_yes_or_no(scaled: nn.Module) -> None:
    with pytest.raises(UsageError, match="fold_weights=1 is not a value it takes; use False, True"):
        compile(scaled, example_input=EXAMPLE, fold_weights=1)  # type: ignore[arg-type]
