"""An encoder of the frequency branch in a shape of its own."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from onnx_demucs_compiler.rules import Case, Numerics, Patch, Refusal, substitute
from onnx_demucs_compiler.targets import CPU_RUNTIMES
from onnx_demucs_rules.demucs_layers import layers_of
from onnx_demucs_rules.layout.examples import frequency_encoder

if TYPE_CHECKING:
    from torch import Tensor

ROWS = ((1, 4, 64, 6),)
UNSUITABLE = "no frequency encoder computes its rows apart from one another"


@substitute(
    name="add-encoder-row",
    why="ONNX Runtime gives a tensor the buffer of an earlier one of the same shape and holds it in between. "
    "The encoders and the decoders of Demucs work in the same shapes, so that all the encoders ever used "
    "stays allocated while the transformer runs: 250 MB in a session that reuses buffers. ONNX Runtime "
    "takes 1602 MB for htdemucs without it, 1072 with (default session, benchmarks/ablation.py).",
    numerics=Numerics(min_snr_db=130),
    targets=CPU_RUNTIMES,
    tags={"layout", "memory"},
    cases=[
        Case("layer", frequency_encoder, ROWS, fires=2, ops={"Slice": 1}),
        Case("open-batch", frequency_encoder, ((2, 4, 64, 6),), fires=2, options={"batch": "dynamic"}),
        Case("norm-over-rows", lambda: frequency_encoder(norm=True), ROWS, fires=0, because=UNSUITABLE),
        Case("rows-mixed", lambda: frequency_encoder(context=1), ROWS, fires=0, because=UNSUITABLE),
        Case("not-padded", lambda: frequency_encoder(pad=False), ROWS, fires=0, because=UNSUITABLE),
        Case("time", lambda: frequency_encoder(freq=False), ((1, 4, 64),), fires=0),
        Case("not-demucs", lambda: nn.Conv2d(4, 8, 3), ROWS, fires=0),
    ],
)  # fmt: skip
def add_encoder_row(module: nn.Module) -> list[Patch] | Refusal:
    """``layer(x)`` → the same with another row computed below, and dropped at the end.

    Its zeros are put around the input, not left to the convolution: what is put around is in no shape of a
    decoder either.
    """
    encoders = [layer for layer in layers_of(module, "HEncLayer", "demucs.hdemucs") if layer.freq]
    layers = [layer for layer in encoders if _has_own_rows(layer)]
    if encoders and not layers:
        return Refusal(UNSUITABLE)
    convolutions = [Patch(x.conv, "forward", functools.partial(_with_a_row_below, x.conv)) for x in layers]
    return convolutions + [Patch(x, "forward", functools.partial(_without_last_row, x)) for x in layers]


def _has_own_rows(layer: Any) -> bool:
    """True if the layer's rows depend on the same convolution rows alone."""
    if layer.empty or not layer.pad:
        return False
    norms = [layer.norm1] + ([layer.norm2] if layer.rewrite else [])
    pointwise = not layer.rewrite or set(layer.rewrite.kernel_size) == {1}
    return pointwise and all(isinstance(norm, nn.Identity) for norm in norms)


def _with_a_row_below(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """``[B, C, F, T]`` to ``[B, C', F / stride + 1, T]``."""
    above, stride = int(convolution.padding[0]), convolution.stride[0]
    batch, channels, _, frames = x.shape
    zeros = [x.new_zeros(batch, channels, rows, frames) for rows in (above, above + stride)]
    padded = torch.cat([zeros[0], x, zeros[1]], dim=2)
    return F.conv2d(padded, convolution.weight, convolution.bias, convolution.stride)


def _without_last_row(layer: Any, x: Tensor, inject: Tensor | None = None) -> Tensor:
    y: Tensor = type(layer).forward(layer, x, inject)
    return y[:, :, :-1]
