"""Cutting a signal into overlapping frames and adding frames back, with slices and adds only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


def cut(signal: Tensor, n_fft: int, hop: int) -> Tensor:
    """Frames of a signal.

    Args:
        signal: ``[B, samples]``.
        n_fft: length of a frame in samples.
        hop: distance between frames in samples.

    Returns:
        ``[n_fft, B, T]``, ``T = 1 + (samples - n_fft) // hop``.
    """
    batch, samples = signal.shape
    frames = 1 + (samples - n_fft) // hop
    overlap = math.ceil(n_fft / hop)
    hops = frames + overlap - 1
    missing = hops * hop - samples
    signal = F.pad(signal, (0, missing)) if missing > 0 else signal[:, : hops * hop]
    by_hop = signal.reshape(batch, hops, hop).permute(2, 0, 1)
    shifted = torch.cat([by_hop[:, :, shift : shift + frames] for shift in range(overlap)])
    return shifted[:n_fft]


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """The sum of frames, each at its place.

    Args:
        frames: ``[n_fft, B, T]``.
        hop: distance between frames in samples.

    Returns:
        ``[B, samples]``, ``samples = n_fft + hop·(T - 1)``.
    """
    n_fft, batch, count = frames.shape
    overlap = math.ceil(n_fft / hop)
    if overlap * hop != n_fft:
        frames = F.pad(frames, (0, 0, 0, 0, 0, overlap * hop - n_fft))
    by_hop = frames.reshape(overlap, hop, batch, count)
    summed = F.pad(by_hop[0], (0, overlap - 1))
    for shift in range(1, overlap):
        summed = summed + F.pad(by_hop[shift], (shift, overlap - 1 - shift))
    signal = summed.permute(1, 2, 0).reshape(batch, (count + overlap - 1) * hop)
    return signal[:, : n_fft + hop * (count - 1)]
