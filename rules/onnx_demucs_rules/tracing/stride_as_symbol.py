"""Padding to a multiple of a layer's stride, for open lengths."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.nn import functional as F

from onnx_demucs_compiler.rules import EXACT, Case, Patch, substitute
from onnx_demucs_rules.demucs_layers import layers_of
from onnx_demucs_rules.examples import DEMUCS_NEEDS, plain_hdemucs, plain_htdemucs

if TYPE_CHECKING:
    from torch import Tensor


@substitute(
    name="stride-as-symbol",
    why="HDemucs pads what a layer's stride does not divide in a branch on the length, which a graph of open "
    "length cannot have. That of HTDemucs takes multiples of the strides.",
    numerics=EXACT,
    tags={"tracing"},
    cases=[
        Case("hdemucs", plain_hdemucs, ((1, 2, 4096),), fires=4,
             beside=("pad-without-assert", "complex-as-real-pairs", "stft-as-conv", "istft-as-conv")),
        Case("htdemucs", plain_htdemucs, ((1, 2, 4096),), fires=0,
             beside=("pad-without-assert", *DEMUCS_NEEDS)),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0),
    ],
)  # fmt: skip
def stride_as_symbol(module: nn.Module) -> list[Patch]:
    """``if length % stride: pad`` → a padding that may be 0, before the layer's convolution."""
    layers = [
        layer
        for model in layers_of(module, "HDemucs", "demucs.hdemucs")
        for layer in layers_of(model, "HEncLayer", "demucs.hdemucs")
        if not layer.freq and "forward" not in vars(layer.conv)
    ]
    return [
        patch
        for layer in layers
        for patch in (
            Patch(layer, "stride", 1),
            Patch(layer.conv, "forward", functools.partial(_convolved, layer.conv)),
        )
    ]


def _convolved(conv: Any, x: Tensor) -> Tensor:
    """The convolution of ``[B, C, T]``, filled up to a multiple of its stride."""
    (stride,) = conv.stride
    missing = (x.shape[-1] + stride - 1) // stride * stride - x.shape[-1]
    x = x if statically_known_true(missing == 0) else F.pad(x, (0, missing))
    convolved: Tensor = type(conv).forward(conv, x)
    return convolved
