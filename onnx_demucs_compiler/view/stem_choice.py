"""The choice of stems: some sources, or one and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_demucs_compiler.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnx_demucs_compiler.options import Options

    Array = NDArray[Any]


def chosen_sources(options: Options, sources: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the stems that come out, in their order.

    Args:
        options: the choices.
        sources: the model's own.

    Raises:
        UsageError: the model has no source of that name, or no other that could be added up.
    """
    asked = (options.two_stems,) if options.two_stems is not None else options.stems
    if asked is None:
        return sources
    for name in asked:
        if name not in sources:
            has = f"it has {', '.join(sources)}" if sources else "it names none"
            raise UsageError(f"the model has no stem {name}; {has}")
    if options.two_stems is not None and options.other_method == "add" and len(sources) == 1:
        raise UsageError(
            f"{options.two_stems} is the model's only stem, and there is no other to add up to "
            f"no_{options.two_stems}; use other_method=minus"
        )
    return (*asked, f"no_{options.two_stems}") if options.two_stems is not None else asked


def choose(options: Options, sources: tuple[str, ...], mix: Array, output: Array) -> Array:
    """The chosen stems of an output of the whole model.

    Args:
        options: the choices.
        sources: the model's own.
        mix: ``[B, C, N]``, looked at for ``other_method="minus"`` only.
        output: ``[B, S, …]``; one without an axis for the sources is returned as it is.
    """
    if output.ndim < 4 or output.shape[1] != len(sources):
        return output
    if options.stems is not None:
        return output[:, [sources.index(name) for name in options.stems]]
    if options.two_stems is None:
        return output
    index = sources.index(options.two_stems)
    stem = output[:, index : index + 1]
    others = np.delete(output, index, axis=1).sum(axis=1, keepdims=True)
    return np.concatenate([stem, mix[:, None] - stem if options.other_method == "minus" else others], axis=1)
