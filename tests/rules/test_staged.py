"""Divisors of open sizes, by which long means are split."""

from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

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
