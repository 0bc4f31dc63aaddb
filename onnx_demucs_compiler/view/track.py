"""Whole tracks: what a graph that takes one is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from onnx_demucs_compiler.runtime.segments import plan, stride_of, triangle
from onnx_demucs_compiler.runtime.statistics import SILENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def separate_track(
    separate: Callable[[Tensor], Tensor],
    mix: Tensor,
    segment: int,
    overlap: float,
    context: int | None = None,
) -> Tensor:
    """Separate a track segment by segment, as ``demucs.apply.apply_model(shifts=0)`` does.

    The track is normalised as ``demucs.api.Separator`` does.

    Args:
        separate: the model, ``[1, C, N]`` to ``[1, S, C, N]``.
        mix: ``[C, samples]``.
        segment: samples of a segment.
        overlap: the part of each segment that the next covers too.
        context: of the windows; see :func:`onnx_demucs_compiler.runtime.segments.plan`.

    Returns:
        ``[S, C, samples]``, in the precision of ``mix``.
    """
    samples = mix.shape[-1]
    mono = mix.mean(0)
    mean = mono.mean()
    scale = (mono.std() if samples > 1 else torch.zeros_like(mean)) + float(SILENCE)
    normalised = (mix - mean) / scale
    weight = torch.from_numpy(triangle(segment)).to(mix)
    stems, weights = mix.new_zeros(()), mix.new_zeros(samples)
    for part in plan(samples, segment, stride_of(segment, overlap), context):
        window = functional.pad(normalised[:, slice(*part.window)], (part.left, part.right))
        estimate = separate(window[None])[0]
        first = part.start - part.window[0] + part.left
        kept = weight[: part.length] * estimate[..., first : first + part.length]
        stems = stems + functional.pad(kept, (part.start, samples - part.start - part.length))
        weights[part.start : part.start + part.length] += weight[: part.length]
    return stems / weights * scale + mean
