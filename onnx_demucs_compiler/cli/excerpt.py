"""Audio that a user wants parity measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from onnx_demucs_compiler.loading import SourceModel


def excerpt_signal(
    path: Path | None, source: SourceModel, length: int | str, *, quiet: bool = False
) -> dict[str, torch.Tensor]:
    """The middle of a song as ``[1, C, N]``, by name; empty for None.

    Args:
        path: the song.
        source: the model it is for.
        length: samples, or ``"segment"``.
        quiet: whether what :func:`check_song` warns of is kept off stderr.
    """
    if path is None:
        return {}
    import torch

    from onnx_demucs_compiler.cli.warning import print_warnings
    from onnx_demucs_compiler.runtime.audio import check_song, read_excerpt

    channels, segment = source.example()[0].shape[-2:]
    samples = length if isinstance(length, int) else segment
    print_warnings(check_song(path, channels), quiet=quiet)
    excerpt = read_excerpt(path, channels, samples, source.sample_rate or 44100)
    return {path.name: torch.from_numpy(excerpt)[None]}
