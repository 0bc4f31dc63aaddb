"""The lengths that a graph takes, by options and model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading import family_of

if TYPE_CHECKING:
    from onnx_demucs_compiler.loading import SourceModel
    from onnx_demucs_compiler.options import Options


def at_length(source: SourceModel, options: Options, *, whole: bool = False) -> tuple[SourceModel, Options]:
    """Settle the lengths of a model's graph.

    Args:
        source: the model; its module may be changed.
        options: what the user chose.
        whole: whether every window is a whole segment, whatever the model's own program does.

    Raises:
        UsageError: the model does not take such a length, or a track of it has segments of one length.
    """
    family = family_of(source.module)
    context = None if whole or not _may_be_open(source, options) else family.context(source.module)
    if context is not None:
        source = family.at_length(source, "segment")
        length = "segment" if options.track else "dynamic"
        return source, replace(options, length=length, context=context, segment=source.segment or 0)
    if options.track and options.length == "dynamic":
        raise UsageError(
            "track takes one mix of any length and cuts it itself, and the segments of this model have one "
            "length; leave out length=dynamic"
        )
    return family.at_length(source, options.length), options


def _may_be_open(source: SourceModel, options: Options) -> bool:
    """True if a segment's graph may take windows of several lengths.

    A segment of a few hops is too short to trace it with.
    """
    asked = (options.length, options.interface, options.emit) == ("dynamic", "waveform", None)
    return asked and (source.segment or 0) > shortest_traced(source)


def shortest_traced(source: SourceModel) -> int:
    """Samples from which on no size is a special case to torch.export."""
    family = family_of(source.module)
    return family.min_hops * family.hop(source.module) + 1
