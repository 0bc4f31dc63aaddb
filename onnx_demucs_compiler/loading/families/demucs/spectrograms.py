"""Hybrid models without their STFT.

They are cut where they call their methods ``_spec``, ``_magnitude``, ``_mask`` and ``_ispec``; everything
between them is run as it is.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading.families.demucs.own_classes import HYBRIDS, is_own

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

METHODS = ("_spec", "_magnitude", "_mask", "_ispec")


class HybridSpectrograms:
    """A hybrid model or bag between STFT and inverse STFT.

    Attributes:
        n_fft: of the STFT.
    """

    def __init__(self, model: nn.Module) -> None:
        """Take a hybrid model with complex numbers as channels, or a bag.

        Raises:
            UsageError: it is not one.
        """
        self.model = model
        self.members = _members(model)
        self.n_fft = _common_n_fft(self.members)

    def spectrum(self, mix: Tensor) -> Tensor:
        """The STFT of ``[B, C, N]`` as ``[B, 2C, F, T]``, real and imaginary in turn."""
        first: Any = self.members[0]
        channels: Tensor = first._magnitude(first._spec(mix))
        return channels

    def separate(self, mix: Tensor, mag: Tensor) -> tuple[Tensor, Tensor]:
        """Separate a mix and its spectrum into ``[B, S, 2C, F, T]`` and ``[B, S, C, N]``."""
        parts = [_run_between(member, mix, mag) for member in self.members]
        spectra, waveforms = [part[0] for part in parts], [part[1] for part in parts]
        if self.members[0] is self.model:
            return spectra[0], waveforms[0]
        bag: Any = self.model
        return bag.combine(spectra), bag.combine(waveforms)


def _members(model: nn.Module) -> Sequence[nn.Module]:
    members = list(model.models) if hasattr(model, "combine") else [model]  # type: ignore[arg-type]
    for member in members:
        name = type(member).__name__
        if not is_own(member, *HYBRIDS):
            raise UsageError(f"{name} has no spectrogram branch to leave to the host; use interface waveform")
        if not getattr(member, "cac", False):
            raise UsageError(f"{name} masks magnitudes (cac=False), which needs the mix's own spectrum; "
                             "use interface waveform")  # fmt: skip
        if getattr(member, "hybrid_old", False):
            raise UsageError(f"{name} pads its STFT in a way of its own (hybrid_old=True), which "
                             "a host cannot know; use interface waveform")  # fmt: skip
        if not getattr(member, "hybrid", True):
            raise UsageError(f"{name} has no waveform branch (hybrid=False); use interface waveform")
    return members


def _common_n_fft(members: Sequence[Any]) -> int:
    sizes = sorted({int(member.nfft) for member in members})
    if len(sizes) > 1:
        raise UsageError(f"the bag's models have different spectra (n_fft {sizes}); use interface waveform")
    return sizes[0]


def _run_between(member: nn.Module, mix: Tensor, mag: Tensor) -> tuple[Tensor, Tensor]:
    kept: list[Tensor] = []

    def keep(spectrum: Tensor, *_: Any, **__: Any) -> _Nothing:
        kept.append(spectrum)
        return _Nothing()

    stand_ins = (lambda _: None, lambda _: mag, lambda _, spectrum: spectrum, keep)
    with ExitStack() as undo:
        for method, stand_in in zip(METHODS, stand_ins, strict=True):
            undo.enter_context(_standing_in(member, method, stand_in))
        waveform: Tensor = member(mix)
    return kept[0], waveform


@contextmanager
def _standing_in(member: nn.Module, method: str, stand_in: Any) -> Iterator[None]:
    vars(member)[method] = stand_in
    try:
        yield
    finally:
        del vars(member)[method]


class _Nothing:
    """A neutral summand in place of the spectrogram branch in the waveform."""

    def __radd__(self, other: Tensor) -> Tensor:
        return other
