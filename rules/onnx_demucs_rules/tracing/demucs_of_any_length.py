"""Demucs of the time domain for open lengths."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from torch import nn, sym_max
from torch.nn import functional as F

from onnx_demucs_compiler.rules import EXACT, Case, Patch, substitute
from onnx_demucs_rules.demucs_layers import layers_of
from onnx_demucs_rules.examples import plain_demucs

if TYPE_CHECKING:
    from torch import Tensor


@substitute(
    name="demucs-of-any-length",
    why="demucs counts its padding by int(math.ceil(…)) and trims what is too long in a branch on it; "
    "julius makes a tensor of it. A graph of open length would have the example's padding baked in.",
    numerics=EXACT,
    tags={"tracing"},
    cases=[
        Case("demucs", plain_demucs, ((1, 2, 1000),), fires=2),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0),
    ],
)  # fmt: skip
def demucs_of_any_length(module: nn.Module) -> list[Patch]:
    """``forward`` and ``valid_length`` → the same by whole division, where the length is a symbol."""
    return [
        Patch(layer, name, functools.partial(method, layer))
        for layer in layers_of(module, "Demucs")
        for name, method in (("forward", _forward), ("valid_length", _valid_length))
    ]


def _forward(model: Any, mix: Tensor) -> Tensor:
    """``[B, C, N]`` to ``[B, S, C, N]``, as ``Demucs.forward``."""
    length = mix.shape[-1]
    if isinstance(length, int):
        separated: Tensor = type(model).forward(model, mix)
        return separated
    x, mean, std = mix, 0, 1
    if model.normalize:
        mono = mix.mean(dim=1, keepdim=True)
        mean, std = mono.mean(dim=-1, keepdim=True), mono.std(dim=-1, keepdim=True)
        x = (x - mean) / (1e-5 + std)
    missing = _valid_length(model, length) - length
    x = F.pad(x, (missing // 2, missing - missing // 2))
    x = _resampled(x, 1, 2) if model.resample else x
    saved = []
    for encode in model.encoder:
        x = encode(x)
        saved.append(x)
    x = model.lstm(x) if model.lstm else x
    for decode in model.decoder:
        x = decode(x + saved.pop())
    x = _resampled(x, 2, 1) if model.resample else x
    x = (x * std + mean)[..., missing // 2 :][..., :length]
    return x.unflatten(1, (len(model.sources), model.audio_channels))


def _valid_length(model: Any, length: int) -> int:
    """The least length that its layers divide, as ``Demucs.valid_length``.

    It divides no number below 0, which ONNX would round up.
    """
    if isinstance(length, int):
        valid: int = type(model).valid_length(model, length)
        return valid
    kernel, stride = model.kernel_size, model.stride
    length = 2 * length if model.resample else length
    for _ in range(model.depth):
        length = (sym_max(length - kernel, 0) + stride - 1) // stride + 1
    for _ in range(model.depth):
        length = (length - 1) * stride + kernel
    return length // 2 + length % 2 if model.resample else length


def _resampled(x: Tensor, old: int, new: int) -> Tensor:
    """As ``julius.resample_frac`` for ``[B, C, N]``."""
    resample = sys.modules["julius"].ResampleFrac(old, new).to(x)
    length = x.shape[-1]
    padded = F.pad(x.flatten(0, 1)[:, None], (resample._width, resample._width + old), mode="replicate")
    phases = F.conv1d(padded, resample.kernel, stride=old)
    resampled: Tensor = phases.transpose(1, 2).flatten(1).unflatten(0, x.shape[:2])
    return resampled[..., : new * length // old]
