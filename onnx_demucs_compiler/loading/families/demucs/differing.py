"""Segments of a song that demucs' ``apply_model`` computes otherwise than a graph."""

from torch import nn

HTDEMUCS, HDEMUCS, DEMUCS = "demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs"
NONE, SHORT, ALL = "none", "short", "all"


def differing_segments(module: nn.Module, segment: int) -> str:
    """The segments that differ, in a word for the metadata.

    ``apply_model`` pads a segment that the end of the song cuts short to the whole length for HTDemucs, to
    ``valid_length`` for Demucs, and not at all for HDemucs. A whole one Demucs gets with the audio around it,
    up to ``valid_length`` (demucs 4.1, ``demucs/apply.py``).

    Args:
        module: any module; of a bag, the member that differs most counts.
        segment: samples that a run of the graph takes.

    Returns:
        ``none``, ``short`` or ``all``; nothing for a module that ``apply_model`` is not made for.
    """
    found = {_differing(child, segment) for child in module.modules()}
    return next((word for word in (ALL, SHORT, NONE) if word in found), "")


def _differing(module: nn.Module, segment: int) -> str | None:
    classes = {f"{each.__module__}.{each.__qualname__}" for each in type(module).__mro__}
    if DEMUCS in classes:
        return SHORT if module.valid_length(segment) == segment else ALL  # type: ignore[operator]
    if HDEMUCS in classes:
        return SHORT
    return NONE if HTDEMUCS in classes else None
