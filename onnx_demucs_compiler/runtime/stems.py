"""The stems to write, and their making from sources: demucs' ``--two-stems``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata
    from onnx_demucs_compiler.runtime.audio import Audio

OtherMethod = Literal["add", "minus", "none"]
Mixdown = Callable[["Audio", "Audio"], "Audio"]
"""From the mix ``[C, n]`` and every source ``[S, C, n]``, the stem ``[C, n]``."""


def mixdowns(
    sources: Sequence[str],
    two_stems: str | None = None,
    other_method: OtherMethod = "add",
    missing: Sequence[str] = (),
) -> dict[str, Mixdown]:
    """The stems to write, by name.

    Args:
        sources: the model's, in its order.
        two_stems: one of them, to be written with its complement only; None for every source.
        other_method: the complement: ``add`` (``no_NAME``, the sum of the other sources), ``minus``
            (``minus_NAME``, the mix without the stem), or ``none`` at all.
        missing: sources of the checkpoint that were not compiled, and without which nothing can be added up.

    Raises:
        UsageError: the model has no such source, or not all those to be added up.
    """
    if two_stems is None:
        return {source: _source(index) for index, source in enumerate(sources)}
    if two_stems not in sources:
        raise UsageError(f"the model has no stem {two_stems}; it has {', '.join(sources)}")
    if other_method == "add" and missing:
        raise UsageError(
            f"no_{two_stems} cannot be added up without {', '.join(missing)}, which this model was compiled "
            "without; use --other-method minus or none"
        )
    if other_method == "add" and len(sources) == 1:
        raise UsageError(
            f"{two_stems} is the model's only stem, and there is no other to add up to no_{two_stems}; "
            "use --other-method minus or none"
        )
    chosen = sources.index(two_stems)
    stems = {two_stems: _source(chosen)}
    if other_method == "add":
        stems[f"no_{two_stems}"] = lambda _, estimates: np.delete(estimates, chosen, axis=0).sum(axis=0)
    elif other_method == "minus":
        stems[f"minus_{two_stems}"] = lambda mix, estimates: mix - estimates[chosen]
    return stems


def missing_sources(metadata: ArtifactMetadata) -> tuple[str, ...]:
    """The sources in neither an artifact nor its ``no_STEM``."""
    if metadata.other_method:
        return ()
    return tuple(source for source in metadata.model_sources if source not in metadata.sources)


def means_of(metadata: ArtifactMetadata) -> Audio:
    """The number of track means that each stem ``[S, 1, 1]`` lacks.

    Once, as demucs has it, for what the model estimates. In ``no_STEM`` the mean was taken out of each of
    the sources added up, or out of the mix and of the stem that is subtracted from it.
    """
    means = np.ones((len(metadata.sources), 1, 1), np.float32)
    if metadata.other_method == "minus":
        means[1] = 0
    elif metadata.other_method == "add":
        means[1] = len(metadata.model_sources) - 1
    return means


def _source(index: int) -> Mixdown:
    return lambda _, estimates: estimates[index]
