"""The inputs that each interface takes for a mix, and its stems.

The runtime's side of :mod:`onnx_demucs_compiler.view.cuts`, which makes such graphs and needs torch; the
ports of both are those of :mod:`onnx_demucs_compiler.view.ports`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnx_demucs_compiler.runtime.spectrum import Spectrum
from onnx_demucs_compiler.view.ports import INTERFACES, SURROUNDED, TRACK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
    from onnx_demucs_compiler.runtime.audio import Audio
    from onnx_demucs_compiler.view.ports import Interface, Shape


class Waveform:
    """The whole model.

    Attributes:
        inputs: the graph's inputs in their order, by name.
        outputs: the graph's outputs likewise.
    """

    def __init__(self, metadata: ArtifactMetadata, ports: Interface) -> None:
        """Work out the shapes that the metadata stands for."""
        sizes = self._sizes(metadata)
        self.inputs: dict[str, Shape] = {port.name: port.shape(sizes) for port in ports.inputs}
        self.outputs: dict[str, Shape] = {port.name: port.shape(sizes) for port in ports.outputs}

    def _sizes(self, metadata: ArtifactMetadata) -> dict[str, int | str]:
        """The size of each axis, or its name where it stays open."""
        return {
            "B": "batch" if metadata.batch == "dynamic" else int(metadata.batch),
            "S": len(metadata.sources),
            "C": metadata.audio_channels,
            "N": "samples" if metadata.length == "dynamic" else metadata.segment,
        }

    def feeds(self, mix: Audio) -> tuple[Audio, ...]:
        """The graph's inputs for ``[B, C, N]``."""
        return (mix,)

    def stems(self, outputs: Sequence[Audio]) -> Audio:
        """``[B, S, C, N]`` from the graph's outputs."""
        return outputs[0]


class Cut(Waveform):
    """A model whose STFT and inverse STFT are left to the host."""

    def __init__(self, metadata: ArtifactMetadata, ports: Interface) -> None:
        """Make the STFT that the metadata stands for."""
        self._spectrum = Spectrum(metadata.n_fft)
        super().__init__(metadata, ports)

    def _sizes(self, metadata: ArtifactMetadata) -> dict[str, int | str]:
        """Those of the spectrum too."""
        return super()._sizes(metadata) | {
            "2C": 2 * metadata.audio_channels,
            "F": metadata.n_fft // 2,
            "T": "frames" if metadata.length == "dynamic" else self._spectrum.frames(metadata.segment),
        }

    def feeds(self, mix: Audio) -> tuple[Audio, ...]:
        """The graph's inputs for ``[B, C, N]``."""
        return self._arrange(mix, *self._spectrum.analyse(mix))

    def stems(self, outputs: Sequence[Audio]) -> Audio:
        """``[B, S, C, N]``: each stem's spectrum, transformed back, plus its waveform."""
        real, imag, waveform = self._parts(outputs)
        return self._spectrum.synthesise(real, imag, waveform.shape[-1]) + waveform

    def _arrange(self, mix: Audio, real: Audio, imag: Audio) -> tuple[Audio, ...]:
        """A mix and its spectrum ``[B, C, F, T]`` as the graph's inputs."""
        raise NotImplementedError

    def _parts(self, outputs: Sequence[Audio]) -> tuple[Audio, Audio, Audio]:
        """Spectrum ``[B, S, C, F, T]`` in two parts, and waveform ``[B, S, C, N]``."""
        raise NotImplementedError


class Core(Cut):
    """Real and imaginary parts in turn, as channels."""

    def _arrange(self, mix: Audio, real: Audio, imag: Audio) -> tuple[Audio, ...]:
        batch, channels, bins, frames = real.shape
        return mix, np.stack([real, imag], axis=2).reshape(batch, 2 * channels, bins, frames)

    def _parts(self, outputs: Sequence[Audio]) -> tuple[Audio, Audio, Audio]:
        spectrum, waveform = outputs
        return spectrum[:, :, ::2], spectrum[:, :, 1::2], waveform


class Spectral(Cut):
    """Real and imaginary parts as arrays of their own."""

    def _arrange(self, mix: Audio, real: Audio, imag: Audio) -> tuple[Audio, ...]:
        return real, imag, mix

    def _parts(self, outputs: Sequence[Audio]) -> tuple[Audio, Audio, Audio]:
        real, imag, waveform = outputs
        return real, imag, waveform


class Openkara(Cut):
    """Real and imaginary parts along an axis of their own."""

    def _arrange(self, mix: Audio, real: Audio, imag: Audio) -> tuple[Audio, ...]:
        return np.stack([real, imag], axis=2), mix

    def _parts(self, outputs: Sequence[Audio]) -> tuple[Audio, Audio, Audio]:
        spectrum, waveform = outputs
        return spectrum[:, :, :, 0], spectrum[:, :, :, 1], waveform


class Track(Waveform):
    """The whole model for a whole track, which the graph itself cuts."""

    def _sizes(self, metadata: ArtifactMetadata) -> dict[str, int | str]:
        """A track is of any length."""
        return super()._sizes(metadata) | {"N": "samples"}

    def feeds(self, mix: Audio) -> tuple[Audio, ...]:
        """The graph's input for ``[1, C, N]``."""
        return (mix[0],)

    def stems(self, outputs: Sequence[Audio]) -> Audio:
        """``[1, S, C, N]`` from the graph's output."""
        return outputs[0][None]


HOSTS: dict[str, type[Waveform]] = {
    "waveform": Waveform,
    SURROUNDED: Waveform,
    "core": Core,
    "spectral": Spectral,
    "openkara": Openkara,
}


def host_side(metadata: ArtifactMetadata) -> Waveform:
    """The host's side of the interface that an artifact has."""
    if metadata.overlap is not None:
        return Track(metadata, TRACK)
    ports = INTERFACES["waveform" if metadata.interface == SURROUNDED else metadata.interface]
    return HOSTS[metadata.interface](metadata, ports)
