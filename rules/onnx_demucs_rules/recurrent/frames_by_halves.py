"""demucs' BLSTM over overlapping frames, cut and joined by a few slices."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from onnx_demucs_compiler.rules import EXACT, Case, Patch, substitute
from onnx_demucs_rules.demucs_layers import layers_of
from onnx_demucs_rules.recurrent.examples import blstm

if TYPE_CHECKING:
    from torch import Tensor


@substitute(
    name="frames-by-halves",
    why="demucs' BLSTM cuts a long signal into frames by as_strided, a Gather with an index for each number "
    "in ONNX, and joins them in a Python loop, two nodes for each frame.",
    numerics=EXACT,
    tags={"recurrent"},
    cases=[
        Case("many-frames", blstm, ((2, 6, 45),), ops={"Gather": 1, "LSTM": 1}),
        Case("one-step-too-many", blstm, ((1, 6, 9),), ops={"Gather": 1}),
        Case("whole-frames", blstm, ((3, 6, 16),), ops={"Gather": 1}),
        Case("last-frame-almost-empty", lambda: blstm(skip=False), ((1, 6, 17),), ops={"Gather": 1}),
        Case("two-layers", lambda: blstm(layers=2), ((1, 6, 23),), ops={"LSTM": 2}),
        Case("short-enough", blstm, ((2, 6, 8),), ops={"Gather": 0, "Pad": 0}),
        Case("open-batch", blstm, ((2, 6, 45),), options={"batch": "dynamic"}),
        Case("never-framed", lambda: blstm(max_steps=None), ((2, 6, 45),), fires=0),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0),
    ],
)  # fmt: skip
def frames_by_halves(module: nn.Module) -> list[Patch]:
    """``as_strided`` and a slice per frame → two slices of the signal cut in halves of a frame, and one."""
    layers = [layer for layer in layers_of(module, "BLSTM") if layer.max_steps is not None]
    return [Patch(layer, "forward", functools.partial(_forward, layer)) for layer in layers]


def _forward(layer: Any, x: Tensor) -> Tensor:
    """``[B, C, T]`` to the same, as ``BLSTM.forward`` of demucs."""
    steps, hop = x.shape[-1], layer.max_steps // 2
    if not isinstance(steps, int):
        return _forward_open(layer, x)
    framed = steps > layer.max_steps
    y = _frames(x, hop) if framed else x
    y = layer.linear(layer.lstm(y.permute(2, 0, 1))[0]).permute(1, 2, 0)
    if framed:
        y = _joined(y.unflatten(0, (-1, _count(steps, hop))), hop)[..., :steps]
    return y + x if layer.skip else y


def _forward_open(layer: Any, x: Tensor) -> Tensor:
    """The same for symbolic steps, which may need no frames.

    Without, there is one as wide as the signal.
    """
    steps, width, hop = x.shape[-1], layer.max_steps, layer.max_steps // 2
    framed = torch.sym_min(torch.sym_max(steps - width, 0), 1)
    count = framed * (_count(steps, hop) - 1) + 1
    width = torch.sym_min(steps, width)
    first = hop * torch.arange(count, device=x.device)
    index = first[:, None] + torch.arange(width, device=x.device)
    frames = F.pad(x, (0, 2 * hop))[..., index.flatten()].unflatten(-1, (count, width))
    y = frames.transpose(1, 2).flatten(0, 1)
    y = layer.linear(layer.lstm(y.permute(2, 0, 1))[0]).permute(1, 2, 0)
    step = torch.arange(steps, device=x.device)
    frame = torch.minimum((step - hop // 2).clamp(min=0) // hop, first[-1:] // hop)
    inside = frame * width + step - frame * hop
    joined: Tensor = y.unflatten(0, (-1, count)).transpose(1, 2).flatten(2)[..., inside]
    return joined + x if layer.skip else joined


def _count(steps: int, hop: int) -> int:
    return (steps + hop - 1) // hop


def _frames(x: Tensor, hop: int) -> Tensor:
    """``[B, C, T]`` to ``[B * frames, C, 2 * hop]``, each frame two successive halves."""
    count = _count(x.shape[-1], hop)
    halves = F.pad(x, (0, (count + 1) * hop - x.shape[-1])).unflatten(-1, (count + 1, hop))
    frames = torch.cat([halves[:, :, :-1], halves[:, :, 1:]], dim=-1)
    return frames.transpose(1, 2).flatten(0, 1)


def _joined(frames: Tensor, hop: int) -> Tensor:
    """``[B, frames, C, 2 * hop]`` to ``[B, C, T]``.

    Of each frame the middle, of the first the start too.

    The end of the last frame lies beyond the signal.
    """
    edge = hop // 2
    middles = frames[..., edge:-edge].transpose(1, 2).flatten(2)
    return torch.cat([frames[:, 0, :, :edge], middles], dim=-1)
