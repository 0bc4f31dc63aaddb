"""A module to compile, with the facts about it for the artifact."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from onnx_demucs_compiler.errors import UsageError


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
        example_inputs: What the module takes, where that is not one waveform of its segment.
        checkpoints: The files that the weights were read from, each with its SHA-256 (hex).
        warnings: What the user should know of how they were read, one line each.
        fade_step: Samples between the starts of segments that fade into each other; 0 for demucs' way.
    """

    module: nn.Module
    name: str
    sources: tuple[str, ...]
    sample_rate: int | None
    audio_channels: int | None
    segment: int | None
    provenance: str
    example_inputs: tuple[Tensor, ...] = ()
    checkpoints: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    fade_step: int = 0

    def example(self) -> tuple[Tensor, ...]:
        """Inputs to trace with: those given, or noise ``[1, audio_channels, segment]``, float32.

        Raises:
            UsageError: If none were given and the module does not say what it takes.
        """
        if self.example_inputs:
            return self.example_inputs
        if self.audio_channels is None or self.segment is None:
            raise UsageError(
                f"{self.name} does not say what it takes (it needs samplerate, segment and audio_channels); "
                "give example_input"
            )
        generator = torch.Generator().manual_seed(0)
        return (0.1 * torch.randn(1, self.audio_channels, self.segment, generator=generator),)

    def with_module(self, module: nn.Module) -> "SourceModel":
        """The same facts about another module."""
        return replace(self, module=module)

    def weights_digest(self) -> str:
        """SHA-256 (hex) over all parameters and buffers, sorted by name.

        It covers name, dtype, shape and bytes.
        """
        digest = hashlib.sha256()
        for name, tensor in sorted(_weights(self.module), key=lambda weight: weight[0]):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            digest.update(_raw_bytes(tensor))
        return digest.hexdigest()


def from_module(
    module: nn.Module,
    name: str | None = None,
    example_input: Tensor | tuple[Tensor, ...] | None = None,
    *,
    provenance: str = "a module in memory",
) -> SourceModel:
    """Describe any module.

    What the module says of itself in the attributes ``sources``, ``samplerate`` (Hz), ``audio_channels``
    and ``segment`` (seconds) is used where it is of the kind that Demucs has there.

    Args:
        module: Any torch module, not only Demucs.
        name: Defaults to the name of the module's class.
        example_input: What the module takes, needed where the attributes do not say. The shape of a single
            ``[batch, channels, samples]`` replaces what they say of channels and segment.
        provenance: Where the weights come from, in words.

    Raises:
        UsageError: If the example is no tensor.
    """
    sample_rate = _stated(module, "samplerate", Integral)
    audio_channels = _stated(module, "audio_channels", Integral)
    segment = _segment_samples(module, sample_rate)
    examples = _examples(example_input)
    if len(examples) == 1 and examples[0].ndim == 3:
        _, audio_channels, segment = examples[0].shape
    return SourceModel(
        module=module,
        name=name or type(module).__name__,
        sources=_sources(module),
        sample_rate=sample_rate,
        audio_channels=audio_channels,
        segment=segment,
        provenance=provenance,
        example_inputs=examples,
    )


def _examples(given: object) -> tuple[Tensor, ...]:
    """The example inputs in float32, the graph's precision, without history.

    Raises:
        UsageError: If they are no tensors, or tensors without numbers or with gaps.
    """
    values = () if given is None else given if isinstance(given, tuple | list) else (given,)
    for value in values:
        if not isinstance(value, Tensor):
            raise UsageError(
                f"example_input holds a {type(value).__name__}; give a tensor for each argument of forward"
            )
        if value.is_meta or value.layout != torch.strided:
            kind = "meta" if value.is_meta else "sparse"
            raise UsageError(f"example_input holds a {kind} tensor; give a dense one with numbers")
    detached = (value.detach() if value.requires_grad else value for value in values)
    return tuple((value.float() if value.is_floating_point() else value).cpu() for value in detached)


def _stated(module: nn.Module, attribute: str, kind: type) -> Any:
    """A number that a module states; None if it states another thing."""
    value: Any = getattr(module, attribute, None)
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    return value if is_number and 0 < value < math.inf else None


def _sources(module: nn.Module) -> tuple[str, ...]:
    names = getattr(module, "sources", ())
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(names)


def _segment_samples(module: nn.Module, sample_rate: int | None) -> int | None:
    seconds = _stated(module, "segment", Real)
    if seconds is None or sample_rate is None:
        return None
    return int(seconds * sample_rate)


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(
        module.named_parameters(remove_duplicate=False),
        module.named_buffers(remove_duplicate=False),
    )


def _raw_bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
