"""Names of the outputs and stems of a graph, without its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class Labels:
    """The outputs of a graph, by name.

    Attributes:
        model: the model's name.
        stems: names along the axis of stems, of each output that has it.
        outputs: names of the outputs, empty where the model does not tell them.
        stem_axis: the axis of stems in the outputs, none for other modules.
    """

    model: str
    stems: tuple[str, ...]
    outputs: tuple[str, ...]
    stem_axis: int

    def has_stems(self, output: NDArray[Any]) -> bool:
        """True if an output has an axis for stems."""
        return output.ndim >= self.stem_axis + 3 and output.shape[self.stem_axis] == len(self.stems)

    def mix(self, inputs: tuple[Tensor, ...], output: NDArray[Any]) -> Arrays:
        """Those of the graph's inputs that an output's stems are parts of.

        They have the output's axes but for the stems': the waveform, or the spectrum in one or two parts for
        a spectrum. None where the output has no stems.
        """
        if not (self.stems and self.has_stems(output)):
            return []
        alike = [value for value in inputs if value.is_floating_point() and value.ndim == output.ndim - 1]
        return [value.numpy() for value in alike]
