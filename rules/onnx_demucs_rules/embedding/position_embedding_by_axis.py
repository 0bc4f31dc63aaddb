"""A two-dimensional position embedding from one-dimensional ones."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import torch
from torch import nn

from onnx_demucs_compiler.rules import EXACT, Case, Patch, substitute
from onnx_demucs_rules.examples import DEMUCS_NEEDS, plain_htdemucs

if TYPE_CHECKING:
    from torch import Tensor

NAME = "create_2d_sin_embedding"


def _residual_branch() -> nn.Module:
    from demucs.demucs import DConv

    branch: nn.Module = DConv(8)
    return branch


@substitute(
    name="position-embedding-by-axis",
    why="demucs writes sines and cosines into slices of a [C, H, W] tensor: ScatterND in ONNX, which "
    "WebGPU cannot run, or 5.5 MB of constants where 0.4 MB say the same.",
    numerics=EXACT,
    tags={"embedding"},
    cases=[
        Case("htdemucs", lambda: plain_htdemucs(t_layers=1), ((1, 2, 4096),),
             ops={"ScatterND": 0, "Sin": 0, "Cos": 0}, beside=("pad-without-assert", *DEMUCS_NEEDS)),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0),
        Case("layer-scale-alone", _residual_branch, ((1, 8, 100),), fires=0),
    ],
)  # fmt: skip
def position_embedding_by_axis(module: nn.Module) -> list[Patch]:
    """Four slice assignments → ``cat`` of two expanded embeddings, one per axis."""
    homes = sorted({type(child).__module__ for child in module.modules() if _embeds(child)})
    users = [home for home in homes if getattr(sys.modules[home], NAME) is not create_2d_sin_embedding]
    return [Patch(sys.modules[home], NAME, create_2d_sin_embedding) for home in users]


def _embeds(child: nn.Module) -> bool:
    """True if its forward calls the function.

    demucs.transformer is home to layers of Demucs v3 too.
    """
    code, home = getattr(type(child).forward, "__code__", None), sys.modules.get(type(child).__module__)
    return code is not None and NAME in code.co_names and hasattr(home, NAME)


def create_2d_sin_embedding(
    d_model: int, height: int, width: int, device: str | torch.device = "cpu", max_period: float = 10000
) -> Tensor:
    """``[1, d_model, height, width]``: half the channels encode time, half frequency.

    The formula is demucs' own (``demucs.transformer.create_2d_sin_embedding``), after Wang and Liu
    (2021).

    Raises:
        ValueError: ``d_model`` is not a multiple of 4.
    """
    if d_model % 4:
        raise ValueError(f"a 2d position embedding needs a multiple of 4 channels, not {d_model}")
    half = d_model // 2
    rates = torch.exp(torch.arange(0.0, half, 2) * -(math.log(max_period) / half))
    along_time = _interleaved(width, rates)[:, None, :].expand(half, height, width)
    along_frequency = _interleaved(height, rates)[:, :, None].expand(half, height, width)
    return torch.cat([along_time, along_frequency])[None].to(device)


def _interleaved(length: int, rates: Tensor) -> Tensor:
    """``[2·rates, length]``: sine and cosine rows in turn."""
    phase = torch.arange(length).to(rates).unsqueeze(1) * rates
    return torch.stack([torch.sin(phase), torch.cos(phase)], dim=-1).flatten(1).t().contiguous()
