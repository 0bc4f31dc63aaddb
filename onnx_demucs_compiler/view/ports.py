"""Ports: one table of inputs' and outputs' names, axes and dtypes.

Axes are ``B`` batch, ``S`` stems, ``C`` channels, ``N`` samples, ``F`` bins (half of n_fft: the Nyquist bin
is dropped) and ``T`` frames; ``2`` is the real and the imaginary part, ``2C`` both of each channel in turn.
Names and orders are those that clients of other projects read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    Shape = tuple[int | str, ...]
    """Sizes that stay open are names."""


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        name: of the graph's value.
        axes: from the first to the last.
        dtype: of its elements, as numpy calls it.
    """

    name: str
    axes: tuple[str, ...]
    dtype: str = "float32"

    def shape(self, sizes: Mapping[str, int | str]) -> Shape:
        """The shape for a size, or a name, of each axis."""
        return tuple(2 if axis == "2" else sizes[axis] for axis in self.axes)

    def __str__(self) -> str:
        return f"{self.name} [{', '.join(self.axes)}]"


@dataclass(frozen=True)
class Interface:
    """The inputs and outputs of a graph, in order.

    Attributes:
        inputs: the ports that are fed.
        outputs: the ports that are read.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def _port(text: str) -> Port:
    name, *axes = text.split()
    return Port(name, tuple(axes))


def _interface(inputs: str, outputs: str) -> Interface:
    return Interface(tuple(map(_port, inputs.split(", "))), tuple(map(_port, outputs.split(", "))))


INTERFACES = {
    "waveform": _interface("mix B C N", "stems B S C N"),
    "core": _interface("mix B C N, mag B 2C F T", "spec_out B S 2C F T, time_out B S C N"),
    "spectral": _interface(
        "spec_real B C F T, spec_imag B C F T, audio B C N",
        "out_spec_real B S C F T, out_spec_imag B S C F T, out_wave B S C N",
    ),
    "openkara": _interface("spectral B C 2 F T, mix B C N", "spectral_out B S C 2 F T, time_out B S C N"),
}
"""``waveform`` is the whole model; the others leave the STFT and its inverse to the host."""

SURROUNDED = "surrounded"
"""The interface of a model that needs the song around a segment: ``waveform`` of a longer mix.

Clients that know nothing of that do not know the name either.
"""

TRACK = _interface("mix C N", "stems S C N")
"""A whole track of any length, cut into segments inside the graph."""
