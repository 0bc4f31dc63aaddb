"""The number of frames of a spectrogram as a symbol, where the length of the mix is one."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn import functional as F

from onnx_demucs_compiler.rule import EXACT, Case, Refusal, substitute
from onnx_demucs_compiler.stages.substitute import Patch
from onnx_demucs_rules.examples import DEMUCS_NEEDS, small_htdemucs

if TYPE_CHECKING:
    from torch import Tensor


@substitute(
    name="frames-as-symbol",
    why="demucs counts frames by int(math.ceil(samples / hop)), and int() makes a number of a symbol: a "
    "graph of open length would have the example's number of frames baked in.",
    numerics=EXACT,
    tags={"tracing"},
    cases=[
        Case("htdemucs", small_htdemucs, ((1, 2, 4096),), fires=2,
             beside=("pad-without-assert", *DEMUCS_NEEDS)),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0,
             because="has no spectrogram branch"),
    ],
)  # fmt: skip
def frames_as_symbol(module: nn.Module) -> list[Patch] | Refusal:
    """``_spec`` and ``_ispec`` → the same, with the number of frames by whole division."""
    owners = [child for child in module.modules() if _is_hybrid(child)]
    if not owners:
        return Refusal("the model has no spectrogram branch")
    return [
        Patch(owner, name, functools.partial(method, owner))
        for owner in owners
        for name, method in (("_spec", _spec), ("_ispec", _ispec))
    ]


def _is_hybrid(child: Any) -> bool:
    needed = ("_spec", "_ispec", "hop_length", "nfft")
    if "_spec" in vars(child):
        return False
    plain = getattr(child, "hybrid", True) and not getattr(child, "hybrid_old", False)
    return all(hasattr(child, name) for name in needed) and plain


def _spec(model: Any, x: Tensor) -> Tensor:
    """``[B, C, N]`` to complex ``[B, C, n_fft / 2, ceil(N / hop)]``, as ``HTDemucs._spec`` of demucs."""
    home: Any = sys.modules[type(model).__module__]
    hop, samples = model.hop_length, x.shape[-1]
    count = -(-samples // hop)
    pad = hop // 2 * 3
    padded = home.pad1d(x, (pad, pad + count * hop - samples), mode="reflect")
    spectrum: Tensor = home.spectro(padded, model.nfft, hop)[..., :-1, :]
    return spectrum[..., 2 : 2 + count]


def _ispec(model: Any, z: Tensor, length: int) -> Tensor:
    """The inverse: ``[…, n_fft / 2, T]`` to ``[…, length]``.

    Without its ``length``, which is a number to ATen, ``istft`` gives ``hop * (T + 3)`` samples: as many as
    demucs asks for.
    """
    home: Any = sys.modules[type(model).__module__]
    pad = model.hop_length // 2 * 3
    signal: Tensor = home.ispectro(F.pad(F.pad(z, (0, 0, 0, 1)), (2, 2)), model.hop_length)
    return signal[..., pad : pad + length]
