"""Families of models, each with all that belongs to it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.loading.families.any_module import ANY
from onnx_demucs_compiler.loading.families.demucs import DEMUCS
from onnx_demucs_compiler.loading.families.networks import NETWORKS
from onnx_demucs_compiler.loading.lively import redraw

if TYPE_CHECKING:
    from torch import nn

    from onnx_demucs_compiler.loading.families.family import Family

FAMILIES = (NETWORKS, DEMUCS, ANY)
"""The first that claims a module has it, and the first that knows a name loads it."""


def family_of(module: nn.Module) -> Family:
    """The family of a module."""
    return next(family for family in FAMILIES if family.claims(module))


def make_lively(module: nn.Module, seed: int) -> None:
    """Redraw the layer scales, norms and biases of ``module`` in place.

    Other weights are left alone. A value depends on the seed and on its parameter's name and shape, and on
    nothing else: neither the global random state, which is untouched, nor the order in which submodules were
    registered.

    Args:
        module: Any torch module; layers that it has of a family are drawn as that family says.
        seed: Any whole number.
    """
    redraw(module, seed, *(family.lively for family in FAMILIES))
