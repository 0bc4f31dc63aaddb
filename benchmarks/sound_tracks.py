"""Songs, and files with a mix and its stems, as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.runtime.audio import read_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from onnx_demucs_compiler.runtime import Separator

    Audio = NDArray[np.float32]


def read_song(path: Path, separator: Separator) -> Audio:
    """A song as the separator takes it, float32 ``[C, N]``."""
    metadata = separator.metadata
    return np.concatenate(list(read_blocks(path, metadata.sample_rate, metadata.audio_channels)), axis=1)


def sdr_db(true: Sequence[Audio], stems: Mapping[str, Audio]) -> dict[str, float]:
    """Energy of each true stem by that of its error, in dB.

    Args:
        true: in the order of ``stems``.
        stems: by name.
    """
    pairs = zip(stems.items(), true, strict=True)
    return {name: round(snr_db(one, found), 2) for (name, found), one in pairs}


def sound_tracks(path: Path) -> list[Audio]:
    """All sound tracks of a file, float32 ``[C, N]``."""
    with av.open(str(path)) as container:
        count = len(container.streams.audio)
    tracks = []
    for index in range(count):
        with av.open(str(path)) as container:
            form = av.AudioResampler(format="fltp")
            frames = [
                new.to_ndarray() for frame in container.decode(audio=index) for new in form.resample(frame)
            ]
            tracks.append(np.concatenate(frames, axis=1))
    return tracks
