"""Layers of demucs that a fresh model leaves unheard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.loading.lively import normal, uniform

if TYPE_CHECKING:
    from torch import nn

    from onnx_demucs_compiler.loading.lively import Draw


def draw_for(module: nn.Module, layer: str, name: str) -> Draw | None:
    """The draw of a parameter of demucs; None for others.

    A freshly built Demucs scales its residual branches by 1e-4 to 1e-3, and what its local attention sees
    decays with distance alone. Layer scales (the ``scale`` of a class named LayerScale) are uniform in
    [0.3, 0.7]; the decays of a local attention (the layer ``query_decay``) have weights normal(0, 0.3) and
    biases normal(-2, 0.5), so that they differ and reach far.
    """
    if layer == "query_decay":
        return normal(0.3) if name == "weight" else normal(0.5, mean=-2.0)
    if type(module).__name__ == "LayerScale" and name == "scale":
        return uniform(0.3, 0.7)
    return None
