"""The spectrum before zero padding, so that no zeros are transformed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.fx import Node

from onnx_demucs_compiler.rules import ComplexPair
from onnx_demucs_rules.spectral.halves_together import PADS, VIEWS, known_equal, pads_zeros

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import Site


@dataclass(frozen=True)
class Bare:
    """A spectrum without what was padded to it.

    Attributes:
        spectrum: ``[..., bins, T]``, without the highest bins where those are 0, and without the silent
            frames at its ends.
        before: how many silent frames went before it.
        after: how many followed.
    """

    spectrum: ComplexPair
    before: int
    after: int


def without_padding(site: Site, spectrum: ComplexPair) -> Bare:
    """The argument of an inverse STFT before its pads.

    Args:
        site: the inverse STFT.
        spectrum: its first argument as lowered, which is returned where nothing was padded.
    """
    node, before, after = site.node.args[0], 0, 0
    while isinstance(node, Node) and (left_right := _padding(node)) is not None:
        before, after = before + left_right[0], after + left_right[1]
        node = node.args[0]
    found = site.lowered(node) if isinstance(node, Node) else spectrum
    return Bare(found, before, after) if isinstance(found, ComplexPair) else Bare(spectrum, 0, 0)


def _padding(node: Node) -> tuple[int, int] | None:
    """Silent frames before and after that a node adds; ``None`` for others."""
    if node.target in VIEWS:
        return (0, 0) if _same_spectra(node) else None
    if node.target not in PADS:
        return None
    pad, *rest = node.args[1:]
    left, right, below, above, *others = [*_numbers(pad), 0, 0, 0, 0]
    adds_only = min(left, right, above) >= 0 and below == 0 and not any(others)
    return (left, right) if adds_only and pads_zeros(*rest, **node.kwargs) else None


def _same_spectra(view: Node) -> bool:
    """True if a view keeps bins and frames."""
    source = view.args[0]
    assert isinstance(source, Node), "a view of a tensor"
    before, after = source.meta["val"].shape[-2:], view.meta["val"].shape[-2:]
    return len(before) == 2 and known_equal(before, after)


def _numbers(pad: Any) -> list[int]:
    return [size if isinstance(size, int) else -1 for size in pad]
