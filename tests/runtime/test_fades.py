"""Segments that fade into each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from onnx_demucs_compiler.runtime.fades import Fades, mirrored, separated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Audio = NDArray[np.float32]

SIZE = 40


def model(segments: Audio) -> Audio:
    """Two stems that tell where in a segment a sample stood, and that no segment has too much."""
    assert segments.shape[2] == SIZE
    places = np.linspace(0.5, 1.5, SIZE, dtype=np.float32)
    return np.stack([segments * places, np.cumsum(segments, axis=-1)], axis=1)


def reference(song: Audio, step: int) -> Audio:
    """The same over a whole song at once, as pymss 2.1.12 describes it."""
    border, length = SIZE - step, song.shape[1]
    fade = min(SIZE // 10, border)
    if length > 2 * border and border > 0:
        song = np.pad(song, ((0, 0), (border, border)), mode="reflect")
    else:
        border = 0
    total = song.shape[1]
    result, counter = np.zeros((2, *song.shape)), np.zeros(total)
    for start in range(0, total, step):
        part = song[:, start : start + SIZE]
        count = part.shape[1]
        padding: Any = "reflect" if count > SIZE // 2 + 1 else "constant"
        part = np.pad(part, ((0, 0), (0, SIZE - count)), mode=padding)
        window = np.ones(SIZE)
        if fade:
            window[:fade] = np.linspace(0, 1, fade)
            window[-fade:] *= np.linspace(1, 0, fade)
        if start == 0:
            window[:fade] = 1
        if start + count >= total:
            window[max(0, count - fade) : count] = 1
        result[..., start : start + count] += (model(part[None])[0] * window)[..., :count]
        counter[start : start + count] += window[:count]
    with np.errstate(invalid="ignore"):
        mean: Audio = np.nan_to_num(result / counter)[..., border : border + length]
    return mean


def in_blocks(song: Audio, size: int) -> Iterator[Audio]:
    for start in range(0, song.shape[1], size):
        yield song[:, start : start + size]


@pytest.mark.parametrize("step", [40, 38, 20, 13])
@pytest.mark.parametrize("length", [1, 7, 39, 40, 41, 55, 81, 200, 203])
@pytest.mark.parametrize("batch", [1, 3])
def test_blocks_give_what_a_whole_song_gives(step: int, length: int, batch: int) -> None:
    song = np.random.default_rng(length).standard_normal((2, length)).astype(np.float32)
    blocks = list(separated(in_blocks(song, 17), Fades(length, SIZE, step), model, batch))
    np.testing.assert_array_equal(np.concatenate([mix for mix, _ in blocks], axis=1), song)
    stems = np.concatenate([stems for _, stems in blocks], axis=2)
    np.testing.assert_allclose(stems, reference(song, step), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_song_is_mirrored_at_both_ends(size: int) -> None:
    song = np.arange(60, dtype=np.float32).reshape(2, 30)
    wanted = np.pad(song, ((0, 0), (11, 11)), mode="reflect")
    np.testing.assert_array_equal(np.concatenate(list(mirrored(in_blocks(song, size), 11)), axis=1), wanted)
