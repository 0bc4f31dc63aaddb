"""The reference in float64: as the module computes it, and float64 throughout where it would lose some."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from engine_examples import shallow_htdemucs
from torch import Tensor, nn

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.double import AllDouble, PrecisionWatch
from onnx_demucs_compiler.checking.fidelity import References, run_eager
from onnx_demucs_compiler.checking.frugal import frugal
from onnx_demucs_compiler.loading import from_module
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.view.model_view import ModelView

Forward = Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]


class Narrowing(nn.Module):
    """A forward, and what it does to narrow its numbers in the middle."""

    def __init__(self, forward: Forward, narrow: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.forward_of, self.narrow = forward, narrow

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_of(x, self.narrow)


def scratch(x: Tensor, _: Callable[[Tensor], Tensor]) -> Tensor:
    out = torch.zeros(x.shape)
    out[:, 1] = x[:, 1] * 2
    view = out[:, 2:]
    view.add_(x[:, 2:])
    return out + x / 3


FORWARDS: dict[str, Forward] = {
    "float-in-the-middle": lambda x, narrow: narrow(x / 3).sin() + x,
    "float-at-the-end": lambda x, narrow: narrow(x / 3),
    "through-a-complex-number": lambda x, narrow: torch.fft.fft(narrow(x / 3)).abs(),
    "through-a-conjugate": lambda x, narrow: torch.fft.hfft(torch.fft.rfft(narrow(x / 3)), 8),
    "written-in-parts": scratch,
}


@pytest.mark.parametrize("name", FORWARDS)
def test_the_reference_is_in_float64_all_the_way(name: str) -> None:
    forward = FORWARDS[name]
    mix = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(0))
    view = ModelView(from_module(Narrowing(forward, Tensor.float), example_input=mix), Options())
    [(_, _, [reference])] = References(view, {"noise": (mix,)})._known.values()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        [wanted] = run_eager(Narrowing(forward, Tensor.double), (mix.double(),))
    finally:
        torch.set_default_dtype(before)
    assert reference.dtype == np.float64
    assert snr_db(wanted, reference) > 280


def test_half_precision_is_meant() -> None:
    x = torch.randn(64, dtype=torch.float64)
    with PrecisionWatch() as watch, AllDouble():
        y = x.half().float() + torch.tensor([True, False]).float().sum() + torch.arange(3).sum()
    assert not watch.narrowed
    assert y.dtype == torch.float64
    assert torch.equal(y, x.half().double() + 4)


def test_what_no_input_reaches_is_as_the_model_makes_it() -> None:
    with PrecisionWatch() as watch:
        torch.hann_window(8) * torch.randn(8, dtype=torch.float64)
    assert not watch.narrowed


def test_the_default_precision_is_put_back() -> None:
    with AllDouble():
        assert torch.zeros(1).dtype == torch.float64
    with pytest.raises(ZeroDivisionError), AllDouble():
        raise ZeroDivisionError
    assert torch.get_default_dtype() == torch.float32


def test_demucs_is_its_own_reference() -> None:
    module = shallow_htdemucs().eval()
    source = from_module(module)
    [mix] = source.example()
    view = ModelView(source, Options(sources=source.sources))
    [(_, _, [reference])] = References(view, {"noise": (mix,)})._known.values()
    with frugal():  # whose attention sums in another order
        [plain] = run_eager(module.double(), (mix.double(),))
    np.testing.assert_array_equal(reference, plain)
