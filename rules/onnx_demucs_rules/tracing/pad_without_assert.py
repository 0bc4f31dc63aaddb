"""demucs' pad1d without the assertion on its data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import torch
from torch import nn, sym_max, sym_min
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.nn import functional as F

from onnx_demucs_compiler.rules import EXACT, Case, Patch, substitute
from onnx_demucs_rules.examples import DEMUCS_NEEDS, plain_htdemucs

if TYPE_CHECKING:
    from torch import Tensor


@substitute(
    name="pad-without-assert",
    why="demucs.hdemucs.pad1d asserts on the values it padded, a branch on data that stops torch.export.",
    numerics=EXACT,
    tags={"tracing"},
    cases=[
        Case("htdemucs", plain_htdemucs, ((1, 2, 4096),), fires=2, beside=DEMUCS_NEEDS, needed=True),
        Case("shorter-than-its-padding", lambda: plain_htdemucs(256, nfft=256), ((1, 2, 256),), fires=2,
             beside=DEMUCS_NEEDS, needed=True),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0),
    ],
)  # fmt: skip
def pad_without_assert(module: nn.Module) -> list[Patch]:
    """``pad1d`` → the same padding without ``assert (…).all()``, where the model's Python imported it."""
    original = getattr(sys.modules.get("demucs.hdemucs"), "pad1d", None)
    homes = {base.__module__ for child in module.modules() for base in type(child).__mro__}
    users = [
        name for name in sorted(homes) if getattr(sys.modules.get(name), "pad1d", 0) is original is not pad1d
    ]
    return [Patch(sys.modules[name], "pad1d", pad1d) for name in users]


def pad1d(x: Tensor, paddings: tuple[int, int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Pad the last dimension as ``demucs.hdemucs.pad1d`` does.

    Too short a signal grows before it is reflected.
    """
    left, right = paddings
    if mode == "reflect":
        missing = sym_max(sym_max(left, right) - x.shape[-1] + 1, 0)
        if not statically_known_true(missing == 0):
            grown_right = sym_min(right, missing)
            grown_left = missing - grown_right
            x = F.pad(x, (grown_left, grown_right))
            left, right = left - grown_left, right - grown_right
        if not isinstance(left, int):
            return _reflected(x, left, right)
    return F.pad(x, (left, right), mode, value)


def _reflected(x: Tensor, left: int, right: int) -> Tensor:
    """A reflection of computed widths, which engines refuse in a ``Pad``."""
    last = x.shape[-1] - 1
    before, after = x[..., 1 : left + 1], x[..., last - right : last]
    return torch.cat([before.flip(-1), x, after.flip(-1)], dim=-1)
