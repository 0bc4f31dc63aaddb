"""Heads taken apart before a rotary embedding turns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.fx import Node

from onnx_demucs_compiler.rules import Case, ComplexPair, Numerics, Refusal, decompose
from onnx_demucs_compiler.targets import CPU_RUNTIMES, ORT
from onnx_demucs_rules.embedding.examples import Rotated, Swapped
from onnx_demucs_rules.spectral.complex_parts import times
from onnx_demucs_rules.spectral.halves_together import VIEWS

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import Site

aten = torch.ops.aten

PAIRS = ("complex-as-real-pairs",)
SHAPE = ((2, 7, 3, 8),)

STEPS = (VIEWS, (aten.view_as_real.default,), (aten.mul.Tensor,), (aten.view_as_complex.default,), VIEWS)
"""Of a rotation, from its result back."""


@decompose(
    aten.transpose.int,
    name="transpose-before-rotation",
    why="RoFormers turn queries and keys by an angle for each step, and take the heads apart then: ONNX "
    "Runtime multiplies 16 numbers at a time by the table that the heads share, five times as long as "
    "whole rows of steps (benchmarks/forms_in_ort.py).",
    numerics=Numerics(min_snr_db=125),
    targets=CPU_RUNTIMES - {ORT},
    tags={"embedding", "speed"},
    cases=[
        Case("heads", Rotated, SHAPE, beside=PAIRS, ops={"Transpose": 1}),
        Case("open-batch", Rotated, SHAPE, beside=PAIRS, options={"batch": "dynamic"}),
        Case("other-axes", lambda: Rotated(axes=(0, 1)), SHAPE, beside=PAIRS),
        Case("inside-a-pair", lambda: Rotated(axes=(2, 3)), SHAPE, beside=PAIRS, fires=0,
             because="numbers that turn together"),
        Case("used-elsewhere", lambda: Rotated(keep=True), SHAPE, beside=PAIRS, fires=0,
             because="needed as it is"),
        Case("not-rotated", Swapped, SHAPE, fires=0),
    ],
)  # fmt: skip
def transpose_before_rotation(site: Site, x: Any, first: int, second: int) -> Any:
    """``transpose(rotate(x, table))`` → ``rotate(transpose(x), transpose(table))``."""
    rotation = _rotation(site.node.args[0])
    if rotation is None:
        return NotImplemented
    source, angles = site.lowered(rotation.source), site.lowered(rotation.angles)
    if x.ndim - 1 in (first % x.ndim, second % x.ndim):
        return Refusal("it moves the numbers that turn together")
    if not isinstance(angles, ComplexPair) or angles.ndim != x.ndim:
        return Refusal("the angles have other axes")
    if rotation.used_elsewhere:
        return Refusal("the rotated tensor is needed as it is")
    pairs = source.transpose(first, second).unflatten(-1, (-1, 2))
    real, imag = (half.transpose(first, second) for half in (angles.real, angles.imag))
    turned = times(ComplexPair(pairs[..., 0], pairs[..., 1]), ComplexPair(real, imag))
    return turned.together(-1).flatten(-2)


class Rotation(NamedTuple):
    """A tensor of interleaved pairs, and the complex numbers that turn them."""

    source: Node
    angles: Node
    used_elsewhere: bool


def _rotation(result: Any) -> Rotation | None:
    """The rotation that a node ends.

    It is ``view(view_as_real(view_as_complex(view(source)) * angles))``; ``None`` for anything else.
    """
    chain = [result]
    for targets in STEPS:
        if not isinstance(chain[-1], Node) or chain[-1].target not in targets:
            return None
        chain.append(chain[-1].args[0])
    product, source = chain[2], chain[-1]
    if chain[-2].meta["val"].shape[-1] != 2 or source.meta["val"].ndim != result.meta["val"].ndim:
        return None
    return Rotation(source, product.args[1], any(len(node.users) > 1 for node in chain[:-1]))
