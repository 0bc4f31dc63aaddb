"""Magnitudes that take the mix's phase, without angles."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onnx_demucs_compiler.rules import Case, Numerics, Patch, substitute
from onnx_demucs_rules.examples import DEMUCS_NEEDS, plain_htdemucs

if TYPE_CHECKING:
    from torch import Tensor

NEEDS = ("pad-without-assert", *DEMUCS_NEEDS)
SHAPE = ((1, 2, 4096),)


def _masking(**options: Any) -> nn.Module:
    return plain_htdemucs(cac=False, **options)


@substitute(
    name="mask-without-atan2",
    why="A model that estimates magnitudes gives them the phase of the mix: demucs runs open-unmix's Wiener "
    "filter of no iterations in a loop over frames and batch, which writes in place, with atan2, which ONNX "
    "has to spell out.",
    numerics=Numerics(min_snr_db=110),
    tags={"spectral"},
    cases=[
        Case("no-iterations", _masking, SHAPE, beside=NEEDS, ops={"Sin": 0, "Atan": 0}),
        Case("with-a-residual", lambda: _masking(wiener_residual=True), SHAPE, beside=NEEDS),
        Case("without-the-filter", lambda: _masking(wiener_iters=-1, end_iters=-1), SHAPE, fires=0,
             beside=NEEDS),
        Case("complex-as-channels", plain_htdemucs, SHAPE, fires=0, beside=NEEDS),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0),
    ],
)  # fmt: skip
def mask_without_atan2(module: nn.Module) -> list[Patch]:
    """``m·(cos φ, sin φ)``, ``φ = atan2(Im z, Re z)`` → ``m·z/|z|``, and ``m`` where ``z`` is 0."""
    return [Patch(child, "_wiener", _with_phase_of) for child in module.modules() if _filters(child)]


def _filters(child: Any) -> bool:
    filters = [
        vars(sys.modules[name])[kind]._wiener
        for name, kind in (("demucs.hdemucs", "HDemucs"), ("demucs.htdemucs", "HTDemucs"))
        if name in sys.modules
    ]
    own = getattr(getattr(child, "_wiener", None), "__func__", None)
    return own in filters and not child.cac and child.wiener_iters == 0


def _with_phase_of(magnitudes: Tensor, spectrum: Tensor, _: int) -> Tensor:
    """``[B, S, C, F, T]`` real and ``[B, C, F, T]`` complex → ``[B, S, C, F, T]`` complex."""
    parts = torch.view_as_real(spectrum)
    size = spectrum.abs()[..., None]
    silent = size == 0
    nowhere = parts.new_tensor([1.0, 0.0])
    phase = torch.where(silent, nowhere, parts / torch.where(silent, torch.ones_like(size), size))
    return torch.view_as_complex((magnitudes[..., None] * phase[:, None]).contiguous())
