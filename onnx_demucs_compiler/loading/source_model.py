"""A module to compile, together with the facts about it that an artefact carries."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from ..errors import UsageError


@dataclass(frozen=True)
class SourceModel:
    """A module to compile and what is known of it.

    Attributes:
        module: In eval mode; takes audio ``[batch, channels, samples]``, float32.
        name: The model as the user named it.
        sources: The stems in the order of the module's output; empty where the module names none.
        sample_rate: In Hz.
        audio_channels: Channels of the input.
        segment: Length that the module was trained on, in samples.
        provenance: Where the weights come from, in words.
    """

    module: nn.Module
    name: str
    sources: tuple[str, ...]
    sample_rate: int | None
    audio_channels: int | None
    segment: int | None
    provenance: str

    def weights_digest(self) -> str:
        """SHA-256 (hex) over name, dtype, shape and bytes of every parameter and buffer, sorted by name."""
        digest = hashlib.sha256()
        for name, tensor in sorted(_weights(self.module), key=lambda weight: weight[0]):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            digest.update(_raw_bytes(tensor))
        return digest.hexdigest()


def from_module(
    module: nn.Module,
    name: str | None = None,
    example_input: Tensor | None = None,
    *,
    provenance: str = "a module in memory",
) -> SourceModel:
    """Describe any module that takes ``[batch, channels, samples]``; it is put in eval mode.

    What the module says of itself in the attributes ``sources``, ``samplerate`` (Hz), ``audio_channels``
    and ``segment`` (seconds) is used where it exists.

    Args:
        module: Any torch module, not only Demucs.
        name: Defaults to the name of the module's class.
        example_input: ``[batch, channels, samples]``; its shape replaces what the module says of its
            channels and segment.
        provenance: Where the weights come from, in words.

    Raises:
        UsageError: If ``example_input`` does not have three dimensions.
    """
    sample_rate = getattr(module, "samplerate", None)
    audio_channels = getattr(module, "audio_channels", None)
    segment = _segment_samples(module, sample_rate)
    if example_input is not None:
        audio_channels, segment = _channels_and_samples(example_input)
    return SourceModel(
        module=module.eval(),
        name=name or type(module).__name__,
        sources=tuple(getattr(module, "sources", ())),
        sample_rate=sample_rate,
        audio_channels=audio_channels,
        segment=segment,
        provenance=provenance,
    )


def _segment_samples(module: nn.Module, sample_rate: int | None) -> int | None:
    seconds = getattr(module, "segment", None)
    if seconds is None or sample_rate is None:
        return None
    return int(seconds * sample_rate)


def _channels_and_samples(example_input: Tensor) -> tuple[int, int]:
    if example_input.ndim != 3:
        shape = list(example_input.shape)
        raise UsageError(f"example_input has the shape {shape}; give [batch, channels, samples]")
    _, channels, samples = example_input.shape
    return channels, samples


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(
        module.named_parameters(remove_duplicate=False),
        module.named_buffers(remove_duplicate=False),
    )


def _raw_bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
