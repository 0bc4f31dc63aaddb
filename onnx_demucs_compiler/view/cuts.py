"""Cuts: the values at which a graph begins and ends.

:mod:`onnx_demucs_compiler.view.ports` names them.

A family of models says where its own can be cut (``Family.cuts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from onnx_demucs_compiler.loading.families import family_of
from onnx_demucs_compiler.view.ports import INTERFACES

if TYPE_CHECKING:
    from onnx_demucs_compiler.view.ports import Interface


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


class Surrounded(Waveform):
    """The whole model, for segments with the song around them."""

    def __init__(self, model: nn.Module, context: int) -> None:
        """Take a model whose family knows what is around its segments.

        Args:
            model: the model.
            context: samples on either side of a segment.
        """
        super().__init__(model)
        self.surrounded = family_of(model).surrounded(model, context)

    @property
    def traced(self) -> nn.Module:
        """The module to export."""
        return self.surrounded


class Cut(Waveform):
    """A model without its STFT and inverse STFT."""

    def __init__(self, model: nn.Module) -> None:
        """Take a model whose family can cut it.

        Raises:
            UsageError: it cannot.
        """
        super().__init__(model)
        self.between = family_of(model).cuts(model)
        self.n_fft = self.between.n_fft

    @property
    def traced(self) -> nn.Module:
        """The module to export."""
        return self


class Core(Cut):
    """Real and imaginary parts interleaved as channels."""

    ports = INTERFACES["core"]

    def inputs(self, *mix: Tensor) -> tuple[Tensor, ...]:
        """``mix`` and ``mag``."""
        return mix[0], self.between.spectrum(mix[0])

    def forward(self, mix: Tensor, mag: Tensor) -> tuple[Tensor, Tensor]:
        """``spec_out`` and ``time_out``."""
        return self.between.separate(mix, mag)


class Spectral(Cut):
    """Real and imaginary parts as tensors of their own."""

    ports = INTERFACES["spectral"]

    def inputs(self, *mix: Tensor) -> tuple[Tensor, ...]:
        """``spec_real``, ``spec_imag`` and ``audio``."""
        parts = _split(self.between.spectrum(mix[0]), 1)
        return parts[:, :, 0].contiguous(), parts[:, :, 1].contiguous(), mix[0]

    def forward(self, spec_real: Tensor, spec_imag: Tensor, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``out_spec_real``, ``out_spec_imag`` and ``out_wave``."""
        spectrum, waveform = self.between.separate(
            audio, torch.stack([spec_real, spec_imag], dim=2).flatten(1, 2)
        )
        parts = _split(spectrum, 2)
        return parts[:, :, :, 0], parts[:, :, :, 1], waveform


class Openkara(Cut):
    """Real and imaginary parts along an axis of their own."""

    ports = INTERFACES["openkara"]

    def inputs(self, *mix: Tensor) -> tuple[Tensor, ...]:
        """``spectral`` and ``mix``."""
        return _split(self.between.spectrum(mix[0]), 1), mix[0]

    def forward(self, spectral: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """``spectral_out`` and ``time_out``."""
        spectrum, waveform = self.between.separate(mix, spectral.flatten(1, 2))
        return _split(spectrum, 2), waveform


CUTS: dict[str, type[Waveform]] = {
    "waveform": Waveform,
    "core": Core,
    "spectral": Spectral,
    "openkara": Openkara,
}


def cut(model: nn.Module, interface: str, context: int = 0) -> Waveform:
    """A model as an interface shows it.

    Args:
        model: the model.
        interface: the name of one.
        context: samples of the song on either side of a segment.

    Raises:
        UsageError: the model has nothing to cut there.
    """
    return Surrounded(model, context) if context else CUTS[interface](model)


def _split(channels: Tensor, axis: int) -> Tensor:
    """``2C`` channels in turn real and imaginary → ``C`` and 2."""
    split: Tensor = channels.unflatten(axis, (channels.shape[axis] // 2, 2))
    return split
