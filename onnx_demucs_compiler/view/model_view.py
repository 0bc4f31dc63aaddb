"""The model as the artifact's options show it, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.utils._pytree as pytree
from torch.export import Dim
from torch.nn import functional

from onnx_demucs_compiler.loading import family_of
from onnx_demucs_compiler.runtime.segments import stride_of
from onnx_demucs_compiler.tracing.copies import light_copy
from onnx_demucs_compiler.tracing.randomness import least_random
from onnx_demucs_compiler.view.cuts import cut
from onnx_demucs_compiler.view.labels import Labels
from onnx_demucs_compiler.view.lengths import shortest_traced
from onnx_demucs_compiler.view.stem_choice import choose, chosen_sources
from onnx_demucs_compiler.view.track import separate_track

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from onnx_demucs_compiler.loading import SourceModel
    from onnx_demucs_compiler.options import Options
    from onnx_demucs_compiler.tracing.first_call import FirstCall
    from onnx_demucs_compiler.view.cuts import Waveform

    Arrays = list[NDArray[Any]]

BATCH, SAMPLES, FRAMES = "batch", "samples", "frames"
DYNAMIC_BATCH = 2


class ModelView:
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
        self._cut = self._viewed(source.module)
        self.outputs = self._cut.outputs
        self.n_fft = self._cut.n_fft

    @property
    def traced(self) -> nn.Module:
        """The module to export."""
        return self._cut.traced

    def _viewed(self, module: nn.Module) -> Waveform:
        return cut(module, self.options.interface, self.options.context or 0)

    def _with_context(self, mix: Tensor) -> Tensor:
        """A mix ``[B, C, N]`` with its own ends as the song around it."""
        context = self.options.context
        return functional.pad(mix, (context, context), mode="circular") if context else mix

    def example(self) -> tuple[Tensor, ...]:
        """The input of one run: a mix, or what the user gave."""
        example = tuple(map(self._with_context, self.source.example()))
        batch = DYNAMIC_BATCH if self.options.batch == "dynamic" else int(self.options.batch)
        if batch == 1:
            return example
        return tuple(value[:1].expand(batch, *value.shape[1:]).contiguous() for value in example)

    def probe(self) -> tuple[Tensor, ...]:
        """The input to try an artifact on: the example, or a track.

        The track is a whole segment and a shorter one.
        """
        example = self.example()
        if not self.options.track:
            return example
        (mix,) = self.source.example()
        segment = mix.shape[-1]
        samples = segment + stride_of(segment, self.options.overlap) // 2
        return (mix[0].repeat(1, 2)[:, :samples],)

    @property
    def open_length(self) -> bool:
        """True if a segment's graph takes several lengths, inside a track too."""
        return self.options.length == "dynamic" or self.options.context is not None

    @property
    def any_length(self) -> bool:
        """True if the artifact takes mixes of more than one length."""
        return self.options.track or self.options.length == "dynamic"

    def open_axes(self) -> tuple[dict[int, str], ...]:
        """The open axes of each input, and their names."""
        example = self.inputs(*self.example())
        return tuple(self._open_axes_of(value) for value in example)

    def _open_axes_of(self, value: Tensor) -> dict[int, str]:
        axes = {0: BATCH} if self.options.batch == "dynamic" else {}
        if self.open_length and value.ndim:
            if value.shape[-1] == self.example()[0].shape[-1]:
                axes[value.ndim - 1] = SAMPLES
            elif self.n_fft:
                axes[value.ndim - 1] = FRAMES
        return axes

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...] | None:
        """The same as ``torch.export`` wants it: samples are a multiple of frames."""
        family, context = family_of(self.source.module), self.options.context
        frames, hop = Dim(FRAMES, min=family.min_hops), family.hop(self.source.module)
        samples = hop * frames if hop > 1 else Dim(SAMPLES)
        if context is not None:
            samples = Dim(SAMPLES, min=2 * context + shortest_traced(self.source))
        dims = {BATCH: Dim(BATCH), FRAMES: frames, SAMPLES: samples}
        shapes = tuple({axis: dims[name] for axis, name in axes.items()} for axes in self.open_axes())
        return shapes if any(shapes) else None

    def fit(self, mix: Tensor) -> tuple[Tensor, ...]:
        """A mix ``[1, C, N]`` in the shape that :meth:`probe` has."""
        if self.options.track:
            return (mix[0],)
        (probe,) = self.probe()
        return (self._with_context(mix).expand(probe.shape[0], -1, -1).contiguous(),)

    @property
    def labels(self) -> Labels:
        """The names of what comes out, which outlive the model.

        A track has no axis for a batch.
        """
        return Labels(self.source.name, self.stems, self.outputs, 0 if self.options.track else 1)

    def inputs(self, *mix: Tensor) -> tuple[Tensor, ...]:
        """The graph's inputs for a mix."""
        with torch.inference_mode():
            return self._cut.inputs(*mix)

    def run(
        self,
        module: nn.Module,
        inputs: tuple[Tensor, ...],
        copied: Callable[[nn.Module], nn.Module] = light_copy,
    ) -> Arrays:
        """The outputs of the model or of a copy, stems chosen.

        Where the model draws a random number it gets the least, as it does in the graph. What it keeps from
        one call to the next it keeps in a copy, since the graph keeps nothing.

        Args:
            module: ``source.module`` or a copy of it.
            inputs: from :meth:`inputs`.
            copied: makes the copy that runs.
        """
        module = copied(module)
        with torch.no_grad(), least_random():
            if self.options.track:
                return [self._run_track(module, inputs[0])]
            viewed = self._viewed(module).traced
            outputs = viewed(*(value.clone() for value in inputs))
        return self._chosen(outputs, inputs)

    def outputs_of(self, call: FirstCall, inputs: tuple[Tensor, ...]) -> Arrays | None:
        """The outputs of a call that need not be repeated.

        None if it was with other inputs, or the view is of other outputs.

        Args:
            call: of the whole model.
            inputs: from :meth:`inputs`.
        """
        whole = self.traced is self.source.module and not self.options.track
        if not whole or not _equal(call.inputs, inputs):
            return None
        return self._chosen(call.outputs, inputs)

    def _chosen(self, outputs: Any, inputs: tuple[Tensor, ...]) -> Arrays:
        leaves = pytree.tree_leaves(outputs)
        arrays = [leaf.numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]
        mix = inputs[0].numpy()
        return [choose(self.options, self.source.sources, mix, array) for array in arrays]

    def _run_track(self, module: nn.Module, mix: Tensor) -> NDArray[Any]:
        segment, context = self.source.example()[0].shape[-1], self.options.context
        separate = self._viewed(module).traced
        stems = separate_track(separate, mix, segment, self.options.overlap, context)
        chosen: NDArray[Any] = choose(
            self.options, self.source.sources, mix[None].numpy(), stems[None].numpy()
        )[0]
        return chosen


def _equal(some: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> bool:
    return len(some) == len(others) and all(map(torch.equal, some, others))
