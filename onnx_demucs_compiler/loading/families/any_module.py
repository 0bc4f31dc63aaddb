"""Modules of no family, known by what they take alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading.families.family import Family

if TYPE_CHECKING:
    from torch import Tensor, nn

    from onnx_demucs_compiler.loading.families.family import Spectrograms
    from onnx_demucs_compiler.loading.source_model import SourceModel


def at_length(source: SourceModel, length: int | str) -> SourceModel:
    """The same model with examples of another length.

    Args:
        source: the model.
        length: samples; ``"segment"`` and ``"dynamic"`` change nothing.
    """
    if isinstance(length, str):
        return source
    examples = tuple(_of_length(value, source.example_inputs[0], length) for value in source.example_inputs)
    return replace(source, segment=source.segment and length, example_inputs=examples)


def _of_length(value: Tensor, first: Tensor, length: int) -> Tensor:
    """An input as long as the first, at another length."""
    if value.ndim == 0 or value.shape[-1] != first.shape[-1]:
        return value
    times = -(-length // value.shape[-1])
    return value.repeat(*[1] * (value.ndim - 1), times)[..., :length]


def _no_cuts(module: nn.Module) -> Spectrograms:
    raise UsageError(
        f"{type(module).__name__} has no spectrogram branch to leave to the host; use interface waveform"
    )


ANY = Family(
    name="any module",
    claims=lambda _: True,
    one_module=lambda module, _: module,
    refuse=lambda *_: None,
    hop=lambda _: 1,
    min_hops=1,
    at_length=at_length,
    cuts=_no_cuts,
    differing_segments=lambda *_: "",
    lively=lambda *_: None,
)
