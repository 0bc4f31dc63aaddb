"""The reference in float64 without a second set of weights, and without large temporaries."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from onnx_demucs_compiler.checking import frugal as frugal_module
from onnx_demucs_compiler.checking.double import double_copy
from onnx_demucs_compiler.checking.frugal import frugal

CONVOLUTIONS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "batch": (lambda: nn.Conv1d(4, 6, 3, padding=1), (9, 4, 20)),
    "positions": (lambda: nn.Conv1d(4, 6, 8, stride=4, padding=2), (1, 4, 403)),
    "rows": (lambda: nn.Conv2d(4, 6, 3, padding=1), (1, 4, 31, 17)),
    "batch-of-rows": (lambda: nn.Conv2d(4, 6, (8, 1), stride=(4, 1), padding=(2, 0)), (3, 4, 64, 17)),
    "dilation": (lambda: nn.Conv1d(4, 6, 3, padding=4, dilation=4), (2, 4, 100)),
    "groups": (lambda: nn.Conv2d(4, 8, 3, groups=2, bias=False), (1, 4, 40, 17)),
    "padding-beyond-the-kernel": (lambda: nn.Conv1d(4, 6, 3, padding=29), (1, 4, 12)),
    "three-axes": (lambda: nn.Conv3d(4, 6, 3, padding=1), (1, 4, 9, 8, 7)),
    "transposed": (lambda: nn.ConvTranspose1d(4, 6, 8, stride=4), (1, 4, 100)),
}


@pytest.mark.parametrize("piece", [1, 2000])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_in_pieces_is_the_whole(name: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make, shape = CONVOLUTIONS[name]
    module, x = make().double(), torch.randn(shape, dtype=torch.float64)
    with torch.no_grad():
        wanted = module(x)
        monkeypatch.setattr(frugal_module, "PIECE_BYTES", piece)
        with frugal():
            found = module(x)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-13)


def test_a_large_convolution_never_unfolds_all_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frugal_module, "PIECE_BYTES", 4000)
    seen: list[int] = []
    convolution = torch.convolution

    def watched(x: Tensor, weight: Tensor, *rest: object) -> Tensor:
        out = convolution(x, weight, *rest)  # type: ignore[call-overload]
        seen.append(8 * weight[0].numel() * out[:, 0].numel())
        return out  # type: ignore[no-any-return]

    monkeypatch.setattr(torch, "convolution", watched)
    with torch.no_grad(), frugal():
        functional.conv2d(torch.randn(3, 2, 30, 5).double(), torch.randn(4, 2, 3, 3).double())
    assert max(seen) <= 4000
    assert sum(seen) == 8 * 18 * 3 * 28 * 3


def test_attention_does_not_take_the_kernel_that_holds_every_score() -> None:
    layer = nn.MultiheadAttention(8, 2, batch_first=True).eval().double()
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    with torch.no_grad(), torch.autograd.profiler.profile() as profile, frugal():
        layer(x, x, x, need_weights=False)
    called = {event.name for event in profile.function_events}
    assert "aten::_native_multi_head_attention" not in called
    assert "aten::scaled_dot_product_attention" in called
    assert torch.backends.mha.get_fastpath_enabled()


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "recurrent": (lambda: nn.LSTM(4, 6, num_layers=2, bidirectional=True), (7, 1, 4)),
    "attention": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (1, 5, 8)),
    "buffers": (lambda: nn.Sequential(nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6)), (2, 4, 9)),
    "weight-norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 6, 3)), (2, 4, 9)),
    "old-weight-norm": (lambda: nn.utils.weight_norm(nn.Conv1d(4, 6, 3)), (2, 4, 9)),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize("name", MODULES)
def test_a_copy_in_float64_computes_as_the_module_made_double(name: str) -> None:
    make, shape = MODULES[name]
    module, x = make().eval().requires_grad_(False), torch.randn(shape, dtype=torch.float64)
    copied = double_copy(module)
    with torch.no_grad():
        found = [copied(x), copied(x)]
        wanted = module.double()(x)
    for outputs in found:
        np.testing.assert_equal(_arrays(outputs), _arrays(wanted))


def _arrays(outputs: object) -> list[object]:
    return [leaf.numpy() for leaf in torch.utils._pytree.tree_leaves(outputs)]


def test_a_copy_in_float64_shares_the_parameters_and_holds_none_of_its_own() -> None:
    module = nn.LSTM(4, 6).requires_grad_(False)
    copied = double_copy(module)
    with torch.no_grad():
        copied(torch.randn(3, 1, 4, dtype=torch.float64))
    held = [leaf for leaf in copied._parameters.data.values() if leaf is not None]  # type: ignore[attr-defined]
    assert [leaf.data_ptr() for leaf in held] == [leaf.data_ptr() for leaf in module.parameters()]
    assert copied._flat_weights == []
    assert next(module.parameters()).dtype == torch.float32
