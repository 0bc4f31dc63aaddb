"""Overlapping frames of a signal and their sum, by slices and adds.

Sample ``n`` of a frame is kept at ``[n % phases, n // phases]``: the order that the first of two matrix
products takes (:mod:`onnx_demucs_rules.spectral.dft`), and for one phase the plain order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


def cut(signal: Tensor, n_fft: int, hop: int, phases: int = 1) -> Tensor:
    """Frames of a signal.

    Args:
        signal: ``[B, samples]``.
        n_fft: length of a frame in samples.
        hop: distance between frames in samples.
        phases: a divisor of ``hop`` and ``n_fft``.

    Returns:
        ``[B, phases, n_fft / phases, T]``, ``T = 1 + (samples - n_fft) // hop``.
    """
    batch, samples = signal.shape
    frames = 1 + (samples - n_fft) // hop
    overlap = math.ceil(n_fft / hop)
    hops = frames + overlap - 1
    missing = hops * hop - samples
    signal = F.pad(signal, (0, missing)) if missing > 0 else signal[:, : hops * hop]
    by_hop = signal.reshape(batch, hops, hop // phases, phases).permute(0, 3, 2, 1)
    shifted = [by_hop[..., shift : shift + frames] for shift in range(overlap)]
    return torch.cat(shifted, dim=2)[:, :, : n_fft // phases]


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """The sum of frames, each at its place.

    Args:
        frames: ``[B, phases, n_fft / phases, T]``.
        hop: distance between frames in samples.

    Returns:
        ``[B, samples]``, ``samples = n_fft + hop·(T - 1)``.
    """
    batch, phases, per_phase, count = frames.shape
    n_fft, per_hop = phases * per_phase, hop // phases
    overlap = math.ceil(n_fft / hop)
    if overlap * hop != n_fft:
        frames = F.pad(frames, (0, 0, 0, overlap * per_hop - per_phase))
    by_hop = frames.split(per_hop, dim=2)
    summed = F.pad(by_hop[0], (0, overlap - 1))
    for shift in range(1, overlap):
        summed = summed + F.pad(by_hop[shift], (shift, overlap - 1 - shift))
    signal = summed.permute(0, 3, 2, 1).reshape(batch, (count + overlap - 1) * hop)
    return signal[:, : n_fft + hop * (count - 1)]
