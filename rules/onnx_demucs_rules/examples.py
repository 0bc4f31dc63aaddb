"""Small Demucs models and options for the cases of rules."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

# What a small model needs beside the rule in question: its graph has an STFT and complex values.
DEMUCS_NEEDS = ("complex-as-real-pairs", "stft-as-matmul", "istft-as-matmul")

FOR_EXECUTORCH = {"emit": "pte"}
"""Options of cases of rules that are for ExecuTorch alone."""


def small_htdemucs(samples: int = 4096, **options: Any) -> nn.Module:
    """An HTDemucs of a few thousand parameters for ``[B, 2, samples]`` at 8 kHz."""
    from demucs.htdemucs import HTDemucs

    model: nn.Module = HTDemucs(
        **{
            "sources": ["drums", "vocals"], "channels": 8, "growth": 2, "nfft": 512, "depth": 2,
            "t_layers": 1, "t_heads": 2, "segment": Fraction(samples, 8000), "samplerate": 8000,
        } | options
    )  # fmt: skip
    return model.eval()


def plain_htdemucs(samples: int = 4096, **options: Any) -> nn.Module:
    """An HTDemucs of one layer, without residual branches and transformer.

    It compiles in a third of the time.
    """
    return small_htdemucs(samples, **{"depth": 1, "dconv_mode": 0, "t_layers": 0} | options)


def plain_hdemucs(**options: Any) -> nn.Module:
    """An HDemucs of two layers for ``[B, 2, samples]``, without norms and residual branches."""
    from demucs.hdemucs import HDemucs

    model: nn.Module = HDemucs(
        **{
            "sources": ["drums", "vocals"], "channels": 8, "nfft": 64, "depth": 2, "norm_starts": 9,
            "dconv_mode": 0, "samplerate": 8000,
        } | options
    )  # fmt: skip
    return model.eval()


def plain_demucs(**options: Any) -> nn.Module:
    """A Demucs of the time domain for ``[B, 2, samples]``, without residual branches."""
    from demucs.demucs import Demucs

    model: nn.Module = Demucs(
        **{"sources": ["drums", "vocals"], "channels": 8, "depth": 2, "dconv_mode": 0, "samplerate": 8000}
        | options
    )
    return model.eval()
