"""A table of sines of all positions as the product of two small ones."""

from __future__ import annotations

import functools
import math
import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onnx_demucs_compiler.rule import Case, Numerics, Refusal, substitute
from onnx_demucs_compiler.stages.substitute import Patch
from onnx_demucs_rules.examples import DEMUCS_NEEDS, small_htdemucs

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

NAME = "create_sin_embedding"


@substitute(
    name="position-embedding-by-angle-sum",
    why="The sines and cosines of HTDemucs' 1344 positions in time are 2.75 MB in the file; those of every "
    "37th position and of 37 neighbours are 0.2 MB, and the angle sum gives the others.",
    numerics=Numerics(min_snr_db=120),
    tags={"embedding", "storage"},
    cases=[
        Case("htdemucs", small_htdemucs, ((1, 2, 4096),), ops={"Sin": 0, "Cos": 0},
             beside=("pad-without-assert", *DEMUCS_NEEDS)),
        Case("shifted", lambda: small_htdemucs(t_sin_random_shift=5), ((1, 2, 4096),),
             beside=("position-embedding-without-random", "pad-without-assert", *DEMUCS_NEEDS)),
        Case("scaled", lambda: small_htdemucs(t_emb="scaled"), ((1, 2, 4096),), fires=0,
             because="has no table of sines", beside=("pad-without-assert", *DEMUCS_NEEDS)),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0,
             because="has no table of sines"),
    ],
)  # fmt: skip
def position_embedding_by_angle_sum(module: nn.Module) -> list[Patch] | Refusal:
    """``sin`` and ``cos`` of a table of phases → one batched product of two narrow tables."""
    homes = sorted({type(child).__module__ for child in module.modules() if _embeds(child)})
    found = [(sys.modules[home], getattr(sys.modules[home], NAME)) for home in homes]
    users = [(home, original) for home, original in found if not isinstance(original, functools.partial)]
    if not users:
        return Refusal("the model has no table of sines")
    return [Patch(home, NAME, functools.partial(create_sin_embedding, original)) for home, original in users]


def _embeds(child: nn.Module) -> bool:
    """Whether it adds the sines of one axis."""
    method = getattr(type(child), "_get_pos_embedding", None)
    code = getattr(method, "__code__", None)
    return code is not None and NAME in code.co_names and getattr(child, "emb", None) == "sin"


def create_sin_embedding(
    original: Callable[..., Tensor],
    length: Any,
    dim: int,
    shift: int = 0,
    device: str | torch.device = "cpu",
    max_period: float = 10000,
) -> Tensor:
    """``[length, 1, dim]``: the cosines, then the sines, of ``position / max_period ** (k / (dim / 2 - 1))``.

    ``cos(a + b) = cos a cos b - sin a sin b`` and ``sin(a + b) = sin a cos b + cos a sin b``, where ``a``
    counts in steps of about the root of the length and ``b`` from one step to the next. Phases are in
    float64: those of demucs' ``demucs.transformer.create_sin_embedding`` are float32, and less exact.

    Args:
        original: demucs' own, for a length that is a symbol.
        length: number of positions.
        dim: number of channels, even.
        shift: the first position.
        device: where the table goes.
        max_period: of the slowest channel, in positions.
    """
    if not isinstance(length, int):
        return original(length, dim, shift=shift, device=device, max_period=max_period)
    half, step = dim // 2, math.isqrt(length - 1) + 1
    rates = max_period ** (-torch.arange(half, dtype=torch.float64) / (half - 1))
    coarse = rates[:, None] * (shift + step * torch.arange(-(-length // step)))
    fine = rates[:, None] * torch.arange(step)
    turned = torch.stack([torch.cos(coarse), torch.sin(coarse)])
    quarter_later = torch.stack([-torch.sin(coarse), torch.cos(coarse)])
    ahead = torch.stack([torch.cos(fine), torch.sin(fine)], 1)
    table = torch.stack([turned, quarter_later], -1).float() @ ahead.float()
    return table.reshape(dim, -1)[:, :length].t().unsqueeze(1).to(device)
