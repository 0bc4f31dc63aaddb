"""Reflection padding by slices that run backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from onnx_demucs_compiler.rules import EXACT, Case, ComplexPair, Refusal, decompose
from onnx_demucs_compiler.targets import ALL, WEB
from onnx_demucs_rules.engines.examples import ComplexPadded, Padded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten


@decompose(
    aten.pad.default,
    name="reflection-as-slices",
    why="IREE compiles a reflecting Pad for few widths only, and tract makes zero padding of one that has "
    "a value, as demucs' pad1d gives it: 31 dB. Two short slices and a Concat cost ONNX Runtime no more. "
    "Its WebGPU provider in C++ mistakes slices that run backwards, and takes the Pad "
    "(benchmarks/browser/probe.py), so that files for the web keep it.",
    numerics=EXACT,
    targets=ALL - {WEB},
    tags={"engines"},
    cases=[
        Case("both-ends", lambda: Padded(2, 3), ((2, 3, 8),), ops={"Pad": 0, "Concat": 1}),
        Case("one-end", lambda: Padded(0, 3), ((2, 3, 8),), ops={"Pad": 0, "Concat": 1}),
        Case("two-dimensions", lambda: Padded(2, 3, 1, 4), ((2, 3, 7, 8),), ops={"Pad": 0, "Concat": 2}),
        Case("open-batch", lambda: Padded(2, 3), ((2, 3, 8),), options={"batch": "dynamic"}, ops={"Pad": 0}),
        Case("complex", lambda: ComplexPadded(2, 3), ((2, 3, 8, 2),), ops={"Pad": 0},
             beside=("complex-as-real-pairs",)),
        Case("cropped", lambda: Padded(-2, 3), ((2, 3, 8),), fires=0, because="crops"),
        Case("zeros", lambda: Padded(2, 3, mode="constant"), ((2, 3, 8),), fires=0, ops={"Pad": 1}),
    ],
)  # fmt: skip
def reflection_as_slices(
    _: Site,
    x: Tensor | ComplexPair,
    pad: Sequence[int],
    mode: str = "constant",
    value: float | None = None,  # noqa: ARG001 - a reflection reads none
) -> Any:
    """``pad(x, (a, b), "reflect")`` → ``cat(flip(x[1 : a + 1]), x, flip(x[-b - 1 : -1]))``."""
    if mode != "reflect":
        return NotImplemented
    if not all(isinstance(size, int) and size >= 0 for size in pad):
        return Refusal(f"the padding {tuple(pad)} crops, or is open")
    if isinstance(x, ComplexPair):
        return ComplexPair(_padded(x.real, pad), _padded(x.imag, pad))
    return _padded(x, pad)


def _padded(x: Tensor, pad: Sequence[int]) -> Tensor:
    for back, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True), 1):
        x = _reflected(x, x.ndim - back, before, after)
    return x


def _reflected(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    pieces = [x]
    if before:
        pieces.insert(0, x.narrow(dim, 1, before).flip(dim))
    if after:
        pieces.append(x.narrow(dim, x.shape[dim] - 1 - after, after).flip(dim))
    return torch.cat(pieces, dim) if len(pieces) > 1 else x.clone()
