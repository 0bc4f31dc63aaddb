"""The channels of a song: their names, and mixes of them."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soundfile

from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

SFC_GET_CHANNEL_MAP_INFO = 0x1100
"""libsndfile's command, which soundfile has no name for."""

POSITIONS = {
    2: "left", 3: "right", 4: "centre", 5: "left", 6: "right", 7: "centre", 8: "rear centre",
    9: "rear left", 10: "rear right", 11: "LFE", 12: "left of centre", 13: "right of centre",
    14: "side left", 15: "side right",
}  # fmt: skip
"""By libsndfile's numbers (``SF_CHANNEL_MAP_LEFT`` and so on)."""

FRONT, REAR, SIDE = ("left", "right"), ("rear left", "rear right"), ("side left", "side right")
USUAL = {
    3: (*FRONT, "centre"),
    4: (*FRONT, *REAR),
    5: (*FRONT, "centre", *REAR),
    6: (*FRONT, "centre", "LFE", *REAR),
    7: (*FRONT, "centre", "LFE", "rear centre", *SIDE),
    8: (*FRONT, "centre", "LFE", *REAR, *SIDE),
}
"""By number of channels: the order of FLAC (RFC 9639, 9.1.3), and of WAV where its mask is the common one."""

THREE = ("left", "centre", "right")
VORBIS = {
    3: THREE,
    4: (*FRONT, *REAR),
    5: (*THREE, *REAR),
    6: (*THREE, *REAR, "LFE"),
    7: (*THREE, *SIDE, "rear centre", "LFE"),
    8: (*THREE, *SIDE, *REAR, "LFE"),
}
"""The order of Vorbis (Vorbis I, 4.3.9) and Opus (RFC 7845, 5.1.1.2)."""

_3_DB = sqrt(0.5)
STEREO = {
    "left": (1, 0), "right": (0, 1), "centre": (_3_DB, _3_DB), "LFE": (0, 0),
    "rear left": (_3_DB, 0), "rear right": (0, _3_DB), "side left": (_3_DB, 0), "side right": (0, _3_DB),
    "rear centre": (0.5, 0.5), "left of centre": (1, 0), "right of centre": (0, 1),
}  # fmt: skip
"""What left and right get of each channel; see :func:`downmix_matrix`."""


class Layout(NamedTuple):
    """The channels of a file.

    Attributes:
        channels: their number.
        names: in their order; none where nobody knows.
        told: whether the file states them; False where they are those of :data:`USUAL`.
    """

    channels: int
    names: tuple[str, ...]
    told: bool


def layout_of(sound: soundfile.SoundFile) -> Layout:
    """The layout of what libsndfile opened."""
    told = _channel_map(sound)
    if told is not None:
        return Layout(sound.channels, told, told=True)
    usual = (VORBIS if sound.format == "OGG" else USUAL).get(sound.channels, ())
    return Layout(sound.channels, usual, told=sound.format in ("FLAC", "OGG"))


def _channel_map(sound: soundfile.SoundFile) -> tuple[str, ...] | None:
    """The names in a WAV's channel mask or CAF's layout, if any.

    No names where there is a channel that :data:`POSITIONS` has not. Of AIFF libsndfile 1.2.2 gives numbers
    that stand for nothing.
    """
    numbers = soundfile._ffi.new("int[]", sound.channels)
    size = soundfile._ffi.sizeof(numbers)
    is_told = soundfile._snd.sf_command(sound._file, SFC_GET_CHANNEL_MAP_INFO, numbers, size)
    if not is_told or sound.format == "AIFF":
        return None
    names = [POSITIONS[number] for number in numbers if number in POSITIONS]
    return tuple(names) if len(set(names)) == sound.channels else ()


def channels_left_out(path: Path, layout: Layout, channels: int) -> list[str]:
    """A warning of the channels the model does not get, if any."""
    if channels == 1 or layout.channels <= channels:
        return []
    names, told = layout.names, layout.told
    listed = f" ({', '.join(names)}{'' if told else ', in the usual order'})" if names else ""
    taken = " and ".join(names[:channels]) if names else f"the first {channels}"
    mixes = channels == 2 and {*FRONT} <= {*names}
    advice = "separate with --downmix mixes all of them" if mixes else "mix it beforehand to keep the others"
    return [f"{path}: has {layout.channels} channels{listed}, of which only {taken} are taken; {advice}"]


def downmix_matrix(path: Path, layout: Layout, channels: int) -> Audio | None:
    """The matrix that mixes more than two channels to one or two.

    Centre and surround channels go to left and right 3 dB down, and the LFE nowhere: L' = L + 0.7071 C +
    0.7071 Ls, R' likewise, and to mono 0.7071 (L' + R'), as Recommendation ITU-R BS.775-3 mixes 3/2 sources
    downwards. A single rear centre goes to both 6 dB down, as in ATSC A/52, 7.8.2. Side and rear channels of
    7.1 are both surrounds; channels left and right of centre go to their side as they are.

    The sum is not scaled: where all channels of 5.1 are loud it goes up to 8 dB beyond full scale, as floats
    may.

    Args:
        path: of the file, for messages.
        layout: of the file.
        channels: of the model.

    Returns:
        float32 ``[channels, C]``; None where there is nothing to mix.

    Raises:
        UsageError: the model takes more than two channels, or nobody knows what the file's are.
    """
    if layout.channels <= 2 or layout.channels == channels:
        return None
    names = layout.names
    if channels > 2:
        raise UsageError(f"--downmix makes one channel or two, and the model takes {channels}; leave it out")
    if not {*FRONT} <= {*names}:
        raise UsageError(
            f"{path}: its {layout.channels} channels are of no known layout; mix it to stereo beforehand, or "
            "leave out --downmix"
        )
    stereo = np.array([STEREO[name] for name in names], np.float32).T
    return stereo if channels == 2 else np.float32(_3_DB) * stereo.sum(axis=0, keepdims=True)
