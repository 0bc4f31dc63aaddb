"""Whatever torch.onnx exports compiles, and as exactly: to 1 dB, or to 120 dB."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from module_cases import ModuleCases
from torch import Tensor, nn
from torch.nn import functional as F

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import open_session, run_eager

CASES = ModuleCases()
ENOUGH_DB = 120.0
TOLERANCE_DB = 1.0
FIRST = torch.zeros(2, 1, 32, dtype=torch.long)

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "argmax": lambda x: x.argmax(-1),
    "sort": lambda x: x.sort(-1)[0],
    "topk": lambda x: x.topk(3)[0],
    "quantile": lambda x: x.quantile(0.5, -1),
    "cumsum": lambda x: x.cumsum(-1),
    "logcumsumexp": lambda x: x.logcumsumexp(-1),
    "var": lambda x: x.var(-1),
    "logsumexp": lambda x: x.logsumexp(-1),
    "norm": lambda x: x.norm(dim=-1),
    "normalize": lambda x: F.normalize(x, dim=1),
    "softmax": lambda x: x.softmax(-1),
    "atan2": lambda x: torch.atan2(x[:, :1], x[:, 1:2]),
    "sinc": torch.sinc,
    "remainder": lambda x: torch.remainder(x, 0.03),
    "interpolate-linear": lambda x: F.interpolate(x, scale_factor=2, mode="linear"),
    "interpolate-area": lambda x: F.interpolate(x, size=10, mode="area"),
    "pad-reflect": lambda x: F.pad(x, (3, 3), mode="reflect"),
    "pad-circular": lambda x: F.pad(x, (3, 3), mode="circular"),
    "unfold": lambda x: x.unfold(-1, 8, 4),
    "fold": lambda x: F.fold(F.unfold(x[:, None], (1, 8), stride=(1, 4)), (6, 32), (1, 8), stride=(1, 4)),
    "as-strided": lambda x: x.as_strided((2, 10, 8), (192, 4, 1)),
    "tril": lambda x: x.tril(),
    "index-put": lambda x: x.index_put((torch.tensor([0]),), x[:1] * 2),
    "scatter-add": lambda x: x.scatter_add(1, FIRST, x[:, 1:2]),
    "scatter-reduce": lambda x: x.scatter_reduce(1, FIRST, x[:, 1:2], "amax"),
    "assigned-in-part": lambda x: x.clone().index_fill_(1, torch.tensor([0, 3]), 1.0),
    "einsum-of-three": lambda x: torch.einsum("bct,bdt,bet->bcde", x, x, x),
    "baddbmm": lambda x: torch.baddbmm(x[:, :, :6], x, x.transpose(1, 2)),
    "matrix-power": lambda x: torch.matrix_power(x[:, :, :6], 3),
    "bucketize": lambda x: torch.bucketize(x, torch.linspace(-1, 1, 9)),
    "half-precision": lambda x: x.half(),
    "double-in-the-middle": lambda x: (x.double() * 1.1).float(),
    "whole-numbers": lambda x: (x * 100).int() & 7,
    "places-that-are-not-zero": lambda x: torch.nonzero(x > 0),
    "chosen-by-a-mask": lambda x: x[x > 0],
    "no-element": lambda x: x[:, :0],
    "one-number": lambda x: x.sum(),
    "grid-sample": lambda x: F.grid_sample(x[:, None], x[:, :2].mT[:, None], align_corners=False),
    "max-pool": lambda x: F.max_pool1d(x, 3, 2),
    "attention": lambda x: F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None], is_causal=True),
    "transposed-convolution": lambda x: F.conv_transpose1d(x, x.new_ones(6, 2, 4), stride=3, padding=1),
    "convolution-of-the-same-length": lambda x: F.conv1d(x, x.new_ones(6, 6, 4), padding="same"),
    "embedding-bag": lambda x: F.embedding_bag(x.argmax(-1), torch.arange(64.0).view(32, 2)),
    "cond": lambda x: torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,)),
}


@CASES.add((2, 6, 32))
class Functions(nn.Module):
    """One output for each function."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: function(x) for name, function in FUNCTIONS.items()}


@CASES.add((2, 6, 32))
class Layers(nn.Module):
    """One output for each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {
                "gru": nn.GRU(32, 8, batch_first=True),
                "transformer": nn.TransformerEncoderLayer(32, 4, 64, batch_first=True),
                "batch-norm": nn.BatchNorm1d(6),
                "group-norm": nn.GroupNorm(3, 6),
                "instance-norm": nn.InstanceNorm1d(6, affine=True, track_running_stats=True),
                "rms-norm": nn.RMSNorm(32),
                "prelu": nn.PReLU(6),
                "circular": nn.Conv1d(6, 4, 3, padding=1, padding_mode="circular"),
                "weight-norm": nn.utils.weight_norm(nn.Conv1d(6, 4, 3)),
            }
        )

    def forward(self, x: Tensor) -> dict[str, object]:
        return {name: layer(x) for name, layer in self.layers.items()}


@CASES.add((2, 6, 32))
class WrittenInPlace(nn.Module):
    """A plain tensor, made by the first call, that every call writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.scratch: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.scratch is None:
            self.scratch = torch.zeros_like(x)
        self.scratch[:, 1:] = x[:, :-1]
        return self.scratch * 2


def snr_of(model: onnx.ModelProto, inputs: tuple[Tensor, ...], reference: list[np.ndarray]) -> list[float]:
    """Of each output, in dB."""
    session = open_session(model)
    names = [port.name for port in session.get_inputs()]
    outputs = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
    assert [output.shape for output in outputs] == [wanted.shape for wanted in reference]
    return [snr_db(wanted, output) for wanted, output in zip(reference, outputs, strict=True)]


@pytest.mark.parametrize("name", CASES)
def test_never_worse_than_torch_onnx(name: str) -> None:
    case = CASES[name]
    inputs = case.inputs()
    reference = run_eager(case.module().double(), tuple(x.double() for x in inputs))
    exported = torch.onnx.export(case.module(), inputs, dynamo=True, verbose=False)
    assert exported is not None
    theirs = snr_of(exported.model_proto, inputs, reference)
    ours = snr_of(case.compile(case.module()).model, inputs, reference)
    assert [
        (index, own, other)
        for index, (own, other) in enumerate(zip(ours, theirs, strict=True))
        if own < min(ENOUGH_DB, other - TOLERANCE_DB)
    ] == []
