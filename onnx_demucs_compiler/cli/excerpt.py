"""Audio that a user wants parity measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from onnx_demucs_compiler.loading import SourceModel


def excerpt_signals(
    paths: Sequence[Path], source: SourceModel, length: int | str, *, quiet: bool = False
) -> dict[str, torch.Tensor]:
    """The middle of each song as ``[1, C, N]``, by name.

    The name is that of the file; of a second one of the same name the path.

    Args:
        paths: the songs.
        source: the model it is for.
        length: samples, or ``"segment"``.
        quiet: whether what :func:`check_song` warns of is kept off stderr.
    """
    if not paths:
        return {}
    import torch

    from onnx_demucs_compiler.cli.warning import print_warnings
    from onnx_demucs_compiler.runtime.audio import check_song, read_excerpt

    channels, segment = source.example()[0].shape[-2:]
    samples = length if isinstance(length, int) else segment
    signals: dict[str, torch.Tensor] = {}
    for path in paths:
        print_warnings(check_song(path, channels), quiet=quiet)
        excerpt = read_excerpt(path, channels, samples, source.sample_rate or 44100)
        name = str(path) if path.name in signals else path.name
        signals[name] = torch.from_numpy(excerpt)[None]
    return signals
