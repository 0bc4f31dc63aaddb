"""What an artefact is compared with: the model as the artefact's options show it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
import torch.utils._pytree as pytree
from torch.export import Dim

from onnx_demucs_compiler.interface import cut
from onnx_demucs_compiler.loading.demucs_models.length import MIN_HOPS, hop_of
from onnx_demucs_compiler.runtime.segments import stride_of
from onnx_demucs_compiler.stem_choice import choose, chosen_sources
from onnx_demucs_compiler.track import separate_track

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from onnx_demucs_compiler.loading import SourceModel
    from onnx_demucs_compiler.options import Options

    Arrays = list[NDArray[Any]]

BATCH, SAMPLES, FRAMES = "batch", "samples", "frames"
DYNAMIC_BATCH = 2


class Subject:
    """A model and the options it is compiled with.

    Attributes:
        stems: names along the second axis of each output that has sources.
        outputs: names of the graph's outputs, empty where the model does not tell them.
        n_fft: of the spectrum that the host computes, 0 where it computes none.
    """

    def __init__(self, source: SourceModel, options: Options) -> None:
        """Look at a model through options.

        Raises:
            UsageError: the options do not suit the model.
        """
        self.source, self.options = source, options
        self.stems = chosen_sources(options, source.sources)
        self._cut = cut(source.module, options.interface)
        self.outputs = self._cut.outputs
        self.n_fft = self._cut.n_fft

    @property
    def traced(self) -> nn.Module:
        """The module to export."""
        return self._cut.traced

    def example(self) -> tuple[Tensor, ...]:
        """What one run of the model takes: a mix of the batch asked for, or what the user gave."""
        example = self.source.example()
        batch = DYNAMIC_BATCH if self.options.batch == "dynamic" else int(self.options.batch)
        if batch == 1:
            return example
        return tuple(value[:1].expand(batch, *value.shape[1:]).contiguous() for value in example)

    def probe(self) -> tuple[Tensor, ...]:
        """What the artefact is tried on: the example, or a track of one whole segment and a shorter one."""
        example = self.example()
        if not self.options.track:
            return example
        (mix,) = example
        segment = mix.shape[-1]
        samples = segment + stride_of(segment, self.options.overlap) // 2
        return (mix[0].repeat(1, 2)[:, :samples],)

    @property
    def any_length(self) -> bool:
        """Whether the artefact takes mixes of more than one length."""
        return self.options.track or self.options.length == "dynamic"

    def open_axes(self) -> tuple[dict[int, str], ...]:
        """For each of the graph's inputs, the axes whose size stays open, and what they are called."""
        example = self.inputs(*self.example())
        return tuple(self._open_axes_of(value) for value in example)

    def _open_axes_of(self, value: Tensor) -> dict[int, str]:
        axes = {0: BATCH} if self.options.batch == "dynamic" else {}
        if self.options.length == "dynamic":
            axes[value.ndim - 1] = SAMPLES if value.ndim == 3 else FRAMES
        return axes

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...] | None:
        """The same as ``torch.export`` wants it: samples are a multiple of frames."""
        frames = Dim(FRAMES, min=MIN_HOPS)
        hop = hop_of(self.source.module)
        dims = {BATCH: Dim(BATCH), FRAMES: frames, SAMPLES: hop * frames if hop > 1 else frames}
        shapes = tuple({axis: dims[name] for axis, name in axes.items()} for axes in self.open_axes())
        return shapes if any(shapes) else None

    def fit(self, mix: Tensor) -> tuple[Tensor, ...]:
        """A mix ``[1, C, N]`` in the shape that :meth:`probe` has."""
        (probe,) = self.probe()
        return (mix[0] if self.options.track else mix.expand(probe.shape[0], -1, -1).contiguous(),)

    @property
    def stem_axis(self) -> int:
        """Along which axis the outputs have their stems: a track has none for a batch."""
        return 0 if self.options.track else 1

    def has_stems(self, output: NDArray[Any]) -> bool:
        """Whether an output has an axis for stems."""
        return output.ndim >= self.stem_axis + 3 and output.shape[self.stem_axis] == len(self.stems)

    def inputs(self, *mix: Tensor) -> tuple[Tensor, ...]:
        """The graph's inputs for a mix."""
        with torch.inference_mode():
            return self._cut.inputs(*mix)

    def run(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Arrays:
        """The outputs of the model, or of its copy in another precision, with the stems that are asked for.

        Where the model draws a random number it gets the least, as it does in the graph: one with a
        random shift would otherwise differ from itself from one run to the next.

        Args:
            module: ``source.module`` or a copy of it.
            inputs: from :meth:`inputs`.
        """
        with torch.inference_mode(), patch.object(random, "randrange", _least):
            if self.options.track:
                return [self._run_track(module, inputs[0])]
            viewed = cut(module, self.options.interface).traced
            outputs = pytree.tree_leaves(viewed(*(value.clone() for value in inputs)))
        arrays = [leaf.numpy() for leaf in outputs if isinstance(leaf, torch.Tensor)]
        mix = inputs[0].numpy()
        return [choose(self.options, self.source.sources, mix, array) for array in arrays]

    def _run_track(self, module: nn.Module, mix: Tensor) -> NDArray[Any]:
        segment = self.example()[0].shape[-1]
        stems = separate_track(module, mix, segment, self.options.overlap)
        chosen: NDArray[Any] = choose(
            self.options, self.source.sources, mix[None].numpy(), stems[None].numpy()
        )[0]
        return chosen


def _least(start: int, stop: int | None = None, step: int = 1) -> int:  # noqa: ARG001 - as random.randrange
    return 0 if stop is None else start
