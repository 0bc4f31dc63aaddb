"""What demucs makes of a whole track, for artefacts that take one to be compared with."""

from typing import Any

import torch
from demucs.apply import apply_model
from torch import Tensor, nn

from onnx_demucs_compiler.errors import UsageError

SILENCE = 1e-8


def check_fixed_window(module: nn.Module) -> None:
    """See to it that demucs runs every segment of a track at one length, the last and shorter one too.

    Raises:
        UsageError: it does not, so that no graph of a fixed segment can do the same.
    """
    for member in _members(module):
        samples = int(member.segment * member.samplerate)
        if not hasattr(member, "valid_length") or member.valid_length(1) != samples:
            raise UsageError(
                f"{type(member).__name__} runs the last segment of a track at its own, shorter length, which "
                "a graph of one length cannot; compile without track and loop over segments, as "
                "onnx-demucs separate does"
            )


def separate_track(module: nn.Module, mix: Tensor, overlap: float) -> Tensor:
    """``apply_model(shifts=0)`` within the normalisation of ``demucs.api.Separator``.

    Args:
        module: a separator, or a bag whose members are each applied to the whole track.
        mix: ``[C, samples]``.
        overlap: the part of each segment that the next covers too.

    Returns:
        ``[S, C, samples]``.
    """
    mono = mix.mean(0)
    mean = mono.mean()
    scale = (mono.std() if len(mono) > 1 else torch.zeros_like(mean)) + SILENCE
    normalised = ((mix - mean) / scale)[None]
    estimates = [apply_model(member, normalised, shifts=0, overlap=overlap) for member in _members(module)]
    combine: Any = getattr(module, "combine", lambda only: only[0])
    stems: Tensor = combine(estimates)[0]
    return stems * scale + mean


def _members(module: Any) -> list[Any]:
    return list(module.models) if hasattr(module, "combine") else [module]
