"""Magnitudes that take the mix's phase, without angles."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onnx_demucs_compiler.rule import Case, Numerics, Refusal, substitute
from onnx_demucs_compiler.stages.substitute import Patch
from onnx_demucs_rules.examples import DEMUCS_NEEDS, small_htdemucs

if TYPE_CHECKING:
    from torch import Tensor

NEEDS = ("pad-without-assert", *DEMUCS_NEEDS)
SHAPE = ((1, 2, 4096),)


def _masking(**options: Any) -> nn.Module:
    return small_htdemucs(cac=False, **options)


@substitute(
    name="masks-by-phase",
    why="A model that estimates magnitudes gives them the phase of the mix: demucs runs open-unmix's Wiener "
    "filter of no iterations in a loop over frames and batch, with atan2, which ONNX does not have, and "
    "writes in place.",
    numerics=Numerics(min_snr_db=110),
    tags={"spectral"},
    cases=[
        Case("no-iterations", _masking, SHAPE, beside=NEEDS, needed=True, ops={"Sin": 0, "Atan": 0}),
        Case("with-a-residual", lambda: _masking(wiener_residual=True), SHAPE, beside=NEEDS, needed=True),
        Case("without-the-filter", lambda: _masking(wiener_iters=-1, end_iters=-1), SHAPE, fires=0,
             beside=NEEDS, because="no Wiener filter of no iterations"),
        Case("complex-as-channels", small_htdemucs, SHAPE, fires=0, beside=NEEDS,
             because="no Wiener filter of no iterations"),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0,
             because="no Wiener filter of no iterations"),
    ],
)  # fmt: skip
def masks_by_phase(module: nn.Module) -> list[Patch] | Refusal:
    """``m·(cos φ, sin φ)``, ``φ = atan2(Im z, Re z)`` → ``m·z/|z|``, and ``m`` where ``z`` is 0."""
    users = [child for child in module.modules() if _filters(child)]
    if not users:
        return Refusal("the model has no Wiener filter of no iterations")
    return [Patch(user, "_wiener", _with_phase_of) for user in users]


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
