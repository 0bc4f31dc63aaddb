"""A spectrogram's number of frames as a symbol, for open lengths."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn import functional as F

from onnx_demucs_compiler.rules import EXACT, Case, Patch, substitute
from onnx_demucs_rules.examples import DEMUCS_NEEDS, plain_htdemucs

if TYPE_CHECKING:
    from torch import Tensor


OWN = ("demucs.hdemucs", "demucs.htdemucs")


class _Alike(nn.Conv1d):
    """Another package's class with demucs' names."""

    nfft, hop_length = 64, 16

    def __init__(self) -> None:
        super().__init__(2, 2, 3)

    def _spec(self, x: Tensor) -> Tensor:
        return x

    def _ispec(self, z: Tensor) -> Tensor:
        return z


@substitute(
    name="frames-as-symbol",
    why="demucs counts frames by int(math.ceil(samples / hop)), and int() makes a number of a symbol: a "
    "graph of open length would have the example's number of frames baked in.",
    numerics=EXACT,
    tags={"tracing"},
    cases=[
        Case("htdemucs", plain_htdemucs, ((1, 2, 4096),), fires=2,
             beside=("pad-without-assert", *DEMUCS_NEEDS)),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0),
        Case("names-alone", _Alike, ((1, 2, 100),), fires=0),
    ],
)  # fmt: skip
def frames_as_symbol(module: nn.Module) -> list[Patch]:
    """``_spec`` and ``_ispec`` → the same, with the number of frames by whole division."""
    owners = [child for child in module.modules() if _is_hybrid(child)]
    return [
        Patch(owner, name, functools.partial(method, owner))
        for owner in owners
        for name, method in (("_spec", _spec), ("_ispec", _ispec))
    ]


def _is_hybrid(child: Any) -> bool:
    if "_spec" in vars(child):
        return False
    methods = (getattr(type(child), name, None) for name in ("_spec", "_ispec"))
    own = all(getattr(method, "__module__", None) in OWN for method in methods)
    return own and getattr(child, "hybrid", True)


def _is_old(model: Any) -> bool:
    """True for a model trained with a mistake in its padding."""
    return getattr(model, "hybrid_old", False)


def _home(model: Any) -> Any:
    """The Python module of demucs that defines the model's methods."""
    return sys.modules[type(model)._spec.__module__]


def _spec(model: Any, x: Tensor) -> Tensor:
    """``[B, C, N]`` to complex ``[B, C, n_fft / 2, ceil(N / hop)]``, as ``HTDemucs._spec``."""
    home = _home(model)
    hop, samples = model.hop_length, x.shape[-1]
    count = (samples + hop - 1) // hop
    pad = hop // 2 * 3
    mode = "constant" if _is_old(model) else "reflect"
    padded = home.pad1d(x, (pad, pad + count * hop - samples), mode=mode)
    spectrum: Tensor = home.spectro(padded, model.nfft, hop)[..., :-1, :]
    return spectrum[..., 2 : 2 + count]


def _ispec(model: Any, z: Tensor, length: int) -> Tensor:
    """The inverse: ``[…, n_fft / 2, T]`` to ``[…, length]``.

    Without its ``length``, which is a number to ATen, ``istft`` gives ``hop * (T + 3)`` samples: as many as
    demucs asks for.
    """
    home = _home(model)
    pad = 0 if _is_old(model) else model.hop_length // 2 * 3
    signal: Tensor = home.ispectro(F.pad(F.pad(z, (0, 0, 0, 1)), (2, 2)), model.hop_length)
    return signal[..., pad : pad + length]
