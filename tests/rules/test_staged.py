"""Means of open sizes, in stages."""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from onnx_demucs_compiler import compile
from onnx_demucs_rules.norm.examples import Centre, Scale
from onnx_demucs_rules.norm.staged import _known_divisor


@pytest.fixture(scope="module")
def sizes() -> tuple[Any, Any]:
    mode = FakeTensorMode(shape_env=ShapeEnv())
    context = StatelessSymbolicContext(dynamic_sizes=[DimDynamic.DYNAMIC] * 2)
    one, other = mode.from_tensor(torch.zeros(37, 41), symbolic_context=context).shape
    return one, other


@pytest.mark.parametrize(
    ("size", "divisor"),
    [
        (lambda s, t: s, None),
        (lambda s, t: s * t, None),
        (lambda s, t: 4 * s, 4),
        (lambda s, t: 1024 * s, 64),
        (lambda s, t: 96 * s, 48),
        (lambda s, t: 67 * s, None),
        (lambda s, t: 6 * s + 12, 6),
        (lambda s, t: 2 * s + 1, None),
        (lambda s, t: (4 * s - 4) * t, 4),
        (lambda s, t: (8 * s) // 2, 4),
        (lambda s, t: 16 * ((s + 1) // 2) + 32, 16),
    ],
)
def test_the_largest_divisor_that_is_known(size: Any, divisor: int | None, sizes: tuple[Any, Any]) -> None:
    assert _known_divisor(size(*sizes)) == divisor


@pytest.fixture(scope="module", params=["group norm", "mean", "standard deviation"])
def any_length(request: pytest.FixtureRequest) -> tuple[nn.Module, ort.InferenceSession]:
    models = {"group norm": nn.GroupNorm(1, 2), "mean": Centre((1, 2)), "standard deviation": Scale((-1,))}
    model = models[request.param].eval()
    artifact = compile(model, example_input=torch.zeros(1, 2, 10007), length="dynamic", verify=False)
    return model.double(), ort.InferenceSession(artifact.model.SerializeToString())


@pytest.mark.parametrize("length", [20, 63, 64, 65, 4095, 4097, 1_000_003])
def test_a_mean_of_any_length(length: int, any_length: tuple[nn.Module, ort.InferenceSession]) -> None:
    model, session = any_length
    x = np.random.default_rng(0).normal(0.3, 0.1, (1, 2, length)).astype(np.float32)
    [found] = session.run(None, {session.get_inputs()[0].name: x})
    with torch.no_grad():
        wanted = model(torch.from_numpy(x).double()).numpy()
    assert 20 * np.log10(np.linalg.norm(wanted) / np.linalg.norm(found - wanted)) > 120
