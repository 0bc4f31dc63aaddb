"""What demucs computes, and how far a result is from it."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

GATE_DB = 110


def by_demucs(
    model: "torch.nn.Module", mix: np.ndarray, overlap: float = 0.25, shifts: int = 0
) -> np.ndarray:
    """What ``demucs.api.Separator.separate_tensor`` computes, a lone sample's deviation being 0."""
    import torch
    from demucs.apply import apply_model

    wav = torch.from_numpy(mix)
    ref = wav.mean(0)
    mean = ref.mean()
    std = (ref.std() if ref.numel() > 1 else torch.zeros(())) + 1e-8
    estimates = apply_model(model, ((wav - mean) / std)[None], shifts=shifts, overlap=overlap)
    return (estimates[0] * std + mean).numpy()


def snr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """In dB."""
    noise = np.square(estimate.astype(np.float64) - reference).sum()
    return float(10 * np.log10(np.square(reference, dtype=np.float64).sum() / max(noise, 1e-300)))


def stacked(stems: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack(list(stems.values()))
