"""What a graph of each interface takes for a mix, and how stems come out of what it gives.

The runtime's side of :mod:`onnx_demucs_compiler.interface`, which makes such graphs and needs torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnx_demucs_compiler.runtime.spectrum import Spectrum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx_demucs_compiler.metadata import ArtifactMetadata
    from onnx_demucs_compiler.runtime.audio import Audio

    Shape = tuple[int | str, ...]
    """Sizes that stay open are names."""


class Waveform:
    """The whole model.

    Attributes:
        inputs: the graph's inputs in their order, by name.
        outputs: the graph's outputs likewise.
    """

    def __init__(self, metadata: ArtifactMetadata) -> None:
        """Work out the shapes that the metadata stands for."""
        batch: int | str = "batch" if metadata.batch == "dynamic" else int(metadata.batch)
        samples: int | str = "samples" if metadata.length == "dynamic" else metadata.segment
        self._mix: Shape = (batch, metadata.audio_channels, samples)
        self._stems: Shape = (batch, len(metadata.sources), metadata.audio_channels, samples)
        self.inputs: dict[str, Shape] = {"mix": self._mix}
        self.outputs: dict[str, Shape] = {"stems": self._stems}

    def feeds(self, mix: Audio) -> tuple[Audio, ...]:
        """The graph's inputs for ``[B, C, N]``."""
        return (mix,)

    def stems(self, outputs: Sequence[Audio]) -> Audio:
        """``[B, S, C, N]`` from the graph's outputs."""
        return outputs[0]


class Cut(Waveform):
    """A model whose STFT and inverse STFT are left to the host."""

    def __init__(self, metadata: ArtifactMetadata) -> None:
        """Make the STFT that the metadata stands for."""
        super().__init__(metadata)
        self._spectrum = Spectrum(metadata.n_fft)
        frames: int | str = (
            "frames" if metadata.length == "dynamic" else self._spectrum.frames(metadata.segment)
        )
        self._grid: Shape = (metadata.n_fft // 2, frames)

    def feeds(self, mix: Audio) -> tuple[Audio, ...]:
        """The graph's inputs for ``[B, C, N]``."""
        return self._arrange(mix, *self._spectrum.analyse(mix))

    def stems(self, outputs: Sequence[Audio]) -> Audio:
        """``[B, S, C, N]``: each stem is the inverse STFT of its spectrum, plus its waveform."""
        real, imag, waveform = self._parts(outputs)
        return self._spectrum.synthesise(real, imag, waveform.shape[-1]) + waveform

    def _arrange(self, mix: Audio, real: Audio, imag: Audio) -> tuple[Audio, ...]:
        """A mix and its spectrum ``[B, C, F, T]`` in the order and layout of the inputs."""
        raise NotImplementedError

    def _parts(self, outputs: Sequence[Audio]) -> tuple[Audio, Audio, Audio]:
        """Spectrum ``[B, S, C, F, T]``, in two parts, and waveform ``[B, S, C, N]`` from the outputs."""
        raise NotImplementedError


class Core(Cut):
    """Real and imaginary parts in turn, as channels."""

    def __init__(self, metadata: ArtifactMetadata) -> None:
        """Lay the ports out."""
        super().__init__(metadata)
        channels = 2 * metadata.audio_channels
        self.inputs = {"mix": self._mix, "mag": (self._mix[0], channels, *self._grid)}
        self.outputs = {"spec_out": (*self._stems[:2], channels, *self._grid), "time_out": self._stems}

    def _arrange(self, mix: Audio, real: Audio, imag: Audio) -> tuple[Audio, ...]:
        batch, channels, bins, frames = real.shape
        return mix, np.stack([real, imag], axis=2).reshape(batch, 2 * channels, bins, frames)

    def _parts(self, outputs: Sequence[Audio]) -> tuple[Audio, Audio, Audio]:
        spectrum, waveform = outputs
        return spectrum[:, :, ::2], spectrum[:, :, 1::2], waveform


class Spectral(Cut):
    """Real and imaginary parts as arrays of their own."""

    def __init__(self, metadata: ArtifactMetadata) -> None:
        """Lay the ports out."""
        super().__init__(metadata)
        part, out_part = (*self._mix[:2], *self._grid), (*self._stems[:3], *self._grid)
        self.inputs = {"spec_real": part, "spec_imag": part, "audio": self._mix}
        self.outputs = {"out_spec_real": out_part, "out_spec_imag": out_part, "out_wave": self._stems}

    def _arrange(self, mix: Audio, real: Audio, imag: Audio) -> tuple[Audio, ...]:
        return real, imag, mix

    def _parts(self, outputs: Sequence[Audio]) -> tuple[Audio, Audio, Audio]:
        real, imag, waveform = outputs
        return real, imag, waveform


class Openkara(Cut):
    """Real and imaginary parts along an axis of their own."""

    def __init__(self, metadata: ArtifactMetadata) -> None:
        """Lay the ports out."""
        super().__init__(metadata)
        self.inputs = {"spectral": (*self._mix[:2], 2, *self._grid), "mix": self._mix}
        self.outputs = {"spectral_out": (*self._stems[:3], 2, *self._grid), "time_out": self._stems}

    def _arrange(self, mix: Audio, real: Audio, imag: Audio) -> tuple[Audio, ...]:
        return np.stack([real, imag], axis=2), mix

    def _parts(self, outputs: Sequence[Audio]) -> tuple[Audio, Audio, Audio]:
        spectrum, waveform = outputs
        return spectrum[:, :, :, 0], spectrum[:, :, :, 1], waveform


class Track(Waveform):
    """The whole model for a whole track, cut into segments inside the graph."""

    def __init__(self, metadata: ArtifactMetadata) -> None:
        """Lay the ports out."""
        super().__init__(metadata)
        self.inputs = {"mix": (metadata.audio_channels, "samples")}
        self.outputs = {"stems": (len(metadata.sources), metadata.audio_channels, "samples")}

    def feeds(self, mix: Audio) -> tuple[Audio, ...]:
        """The graph's input for ``[1, C, N]``."""
        return (mix[0],)

    def stems(self, outputs: Sequence[Audio]) -> Audio:
        """``[1, S, C, N]`` from the graph's output."""
        return outputs[0][None]


INTERFACES: dict[str, type[Waveform]] = {
    "waveform": Waveform,
    "core": Core,
    "spectral": Spectral,
    "openkara": Openkara,
}
