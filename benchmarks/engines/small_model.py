"""A small HTDemucs with every part of the full one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_rules.examples import small_htdemucs

if TYPE_CHECKING:
    from torch import nn

SAMPLES, SAMPLE_RATE = 8192, 8000


def small_model() -> nn.Module:
    """Three layers from 16 channels on and a transformer of two, lively."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = small_htdemucs(SAMPLES, channels=16, depth=3, t_layers=2)
    make_lively(model, seed=0)
    return model
