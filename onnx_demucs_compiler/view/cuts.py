"""Cuts: the values at which a graph begins and ends.

:mod:`onnx_demucs_compiler.view.ports` names them.

They are cuts of a hybrid model where it calls its own methods ``_spec``, ``_magnitude``, ``_mask`` and
``_ispec``, as HTDemucs and HDemucs do; everything between them is traced as it is.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.view.ports import INTERFACES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onnx_demucs_compiler.view.ports import Interface

METHODS = ("_spec", "_magnitude", "_mask", "_ispec")


class Waveform(nn.Module):
    """The whole model."""

    ports: ClassVar[Interface | None] = None

    def __init__(self, model: nn.Module) -> None:
        """Take a separator or any other module."""
        super().__init__()
        self.model = model
        self.n_fft = 0

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the graph's outputs, none where the model decides."""
        return tuple(port.name for port in self.ports.outputs) if self.ports else ()

    @property
    def traced(self) -> nn.Module:
        """The module to export: the model itself, to keep weights' names."""
        return self.model

    def inputs(self, *mix: Tensor) -> tuple[Tensor, ...]:
        """The graph's inputs, which are the model's."""
        return mix


class Cut(Waveform):
    """A hybrid model without its STFT and inverse STFT."""

    def __init__(self, model: nn.Module) -> None:
        """Take a hybrid model with complex numbers as channels, or a bag.

        Raises:
            UsageError: it is not one.
        """
        super().__init__(model)
        self.members: Sequence[nn.Module] = _members(model)
        self.n_fft = _common_n_fft(self.members)

    @property
    def traced(self) -> nn.Module:
        """The module to export."""
        return self

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


class Core(Cut):
    """Real and imaginary parts interleaved as channels."""

    ports = INTERFACES["core"]

    def inputs(self, *mix: Tensor) -> tuple[Tensor, ...]:
        """``mix`` and ``mag``."""
        return mix[0], self.spectrum(mix[0])

    def forward(self, mix: Tensor, mag: Tensor) -> tuple[Tensor, Tensor]:
        """``spec_out`` and ``time_out``."""
        return self.separate(mix, mag)


class Spectral(Cut):
    """Real and imaginary parts as tensors of their own."""

    ports = INTERFACES["spectral"]

    def inputs(self, *mix: Tensor) -> tuple[Tensor, ...]:
        """``spec_real``, ``spec_imag`` and ``audio``."""
        parts = _split(self.spectrum(mix[0]), 1)
        return parts[:, :, 0].contiguous(), parts[:, :, 1].contiguous(), mix[0]

    def forward(self, spec_real: Tensor, spec_imag: Tensor, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``out_spec_real``, ``out_spec_imag`` and ``out_wave``."""
        spectrum, waveform = self.separate(audio, torch.stack([spec_real, spec_imag], dim=2).flatten(1, 2))
        parts = _split(spectrum, 2)
        return parts[:, :, :, 0], parts[:, :, :, 1], waveform


class Openkara(Cut):
    """Real and imaginary parts along an axis of their own."""

    ports = INTERFACES["openkara"]

    def inputs(self, *mix: Tensor) -> tuple[Tensor, ...]:
        """``spectral`` and ``mix``."""
        return _split(self.spectrum(mix[0]), 1), mix[0]

    def forward(self, spectral: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """``spectral_out`` and ``time_out``."""
        spectrum, waveform = self.separate(mix, spectral.flatten(1, 2))
        return _split(spectrum, 2), waveform


CUTS: dict[str, type[Waveform]] = {
    "waveform": Waveform,
    "core": Core,
    "spectral": Spectral,
    "openkara": Openkara,
}


def cut(model: nn.Module, interface: str) -> Waveform:
    """A model as an interface shows it.

    Raises:
        UsageError: the model has nothing to cut there.
    """
    return CUTS[interface](model)


def _split(channels: Tensor, axis: int) -> Tensor:
    """``2C`` channels in turn real and imaginary → ``C`` and 2."""
    split: Tensor = channels.unflatten(axis, (channels.shape[axis] // 2, 2))
    return split


def _members(model: nn.Module) -> Sequence[nn.Module]:
    members = list(model.models) if hasattr(model, "combine") else [model]  # type: ignore[arg-type]
    for member in members:
        name = type(member).__name__
        if not all(hasattr(member, method) for method in METHODS):
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
