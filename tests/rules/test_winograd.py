"""The transforms of Winograd's convolution, and their points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_rules.conv import winograd

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNELS, TILES = 64, 32


@pytest.fixture
def signals() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Windows ``[C, tiles, 6, 6]`` and kernels ``[C, 3, 3]``."""
    draw = np.random.default_rng(0)
    return draw.standard_normal((CHANNELS, TILES, 6, 6)), draw.standard_normal((CHANNELS, 3, 3))


def directly(windows: NDArray[Any], kernels: NDArray[Any]) -> NDArray[Any]:
    """``[tiles, 4, 4]``."""
    cut = np.lib.stride_tricks.sliding_window_view(windows, (3, 3), axis=(2, 3))
    return np.einsum("ctijkl,ckl->tij", cut, kernels)


def transformed(windows: NDArray[Any], kernels: NDArray[Any], dtype: type) -> NDArray[np.float64]:
    """The same by the transforms, in an arithmetic."""
    before, of_kernel, after = (
        np.kron(each, each).astype(dtype)
        for each in (winograd.input_transform(), winograd.kernel_transform(), winograd.output_transform())
    )
    windows = np.einsum("pq,ctq->ctp", before, windows.reshape(CHANNELS, TILES, 36).astype(dtype))
    kernels = np.einsum("pq,cq->cp", of_kernel, kernels.reshape(CHANNELS, 9).astype(dtype))
    products = np.einsum("ctp,cp->tp", windows, kernels)
    return np.einsum("pq,tq->tp", after, products).reshape(TILES, 4, 4).astype(np.float64)


def test_the_transforms_are_exact(signals: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    np.testing.assert_allclose(transformed(*signals, np.float64), directly(*signals), atol=1e-11)


def test_the_points_lose_less_than_the_usual_ones(
    signals: tuple[NDArray[np.float64], NDArray[np.float64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = directly(*signals)
    chosen = snr_db(wanted, transformed(*signals, np.float32))
    monkeypatch.setattr(winograd, "POINTS", (0, 1, -1, 2, -2))
    usual = snr_db(wanted, transformed(*signals, np.float32))
    assert chosen > usual + 6
