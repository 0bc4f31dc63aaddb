"""Models at another length than their training segment."""

from dataclasses import replace
from math import lcm, prod
from typing import Any

from torch import nn

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading.families.demucs.own_classes import HYBRIDS, TIME_DOMAIN, is_own
from onnx_demucs_compiler.loading.source_model import SourceModel

MIN_HOPS = 4
"""The fewest hops that a graph of open length takes: fewer leave the STFT nothing to reflect."""


def set_length(source: SourceModel, length: int | str) -> SourceModel:
    """The same model taking ``length`` samples, its module changed in place.

    HTDemucs otherwise pads what is shorter than its training segment and refuses what is longer
    (``use_train_segment``).

    Args:
        source: the model.
        length: samples, a multiple of :func:`hop_of`; ``"dynamic"``, for which the training segment is
            rounded down to one; ``"segment"`` changes nothing.

    Raises:
        UsageError: it is not a multiple of the hop, or is to stay open in a model that is not all
            spectrograms.
    """
    if length == "segment":
        return source
    hop = hop_of(source.module)
    if isinstance(length, str):
        _check_spectrogram(source)
        length = max(MIN_HOPS, (source.segment or 0) // hop) * hop
    if length % hop:
        below = length - length % hop
        nearest = below if below and 2 * (length - below) < hop else below + hop
        raise UsageError(
            f"length={length} is not a multiple of the hop of {source.name}, {hop} samples; "
            f"the nearest is {nearest}"
        )
    for child in source.module.modules():
        if hasattr(child, "use_train_segment"):
            child.use_train_segment = False  # type: ignore[assignment]
    return replace(source, segment=length, example_inputs=())


def hop_of(module: nn.Module) -> int:
    """The divisor of lengths, in samples, with which no layer pads.

    The hop of the STFT times the strides of the layers behind it that run along time, and a multiple of
    the strides of the waveform branch. 1 for Demucs of the time domain: its forward pads any length to one
    that suits its layers.
    """
    return lcm(*(_own_hop(child) for child in module.modules()))


def _own_hop(module: Any) -> int:
    if not is_own(module, *HYBRIDS):
        return 1
    behind_stft = [layer.stride for layer in module.encoder if not getattr(layer, "freq", True)]
    waveform_branch = [layer.stride for layer in getattr(module, "tencoder", ())]
    return lcm(module.hop_length * prod(behind_stft), prod(waveform_branch))


def _check_spectrogram(source: SourceModel) -> None:
    if any(is_own(child, TIME_DOMAIN) for child in source.module.modules()):
        raise UsageError(
            f"{source.name} works in the time domain and counts its padding from the length, "
            "which cannot stay open; give length as a number"
        )
