"""A family of models, as the engine asks for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

    from onnx_demucs_compiler.loading.lively import DrawFor
    from onnx_demucs_compiler.loading.source_model import SourceModel


UNTRAINED_PREFIX = "untrained:"
"""Of the names of architectures that are built with seeded lively weights."""


class Load(Protocol):
    """Load the model that a user names."""

    def __call__(
        self,
        spec: str,
        repo: Path | None = None,
        *,
        config: Path | None = None,
        trust_checkpoint: bool = False,
    ) -> SourceModel:
        """As :func:`onnx_demucs_compiler.loading.load_model`."""


class Spectrograms(Protocol):
    """A model without its STFT and the inverse.

    Attributes:
        n_fft: of the STFT.
    """

    n_fft: int

    def spectrum(self, mix: Tensor) -> Tensor:
        """The STFT of ``[B, C, N]`` as ``[B, 2C, F, T]``, real and imaginary in turn."""

    def separate(self, mix: Tensor, mag: Tensor) -> tuple[Tensor, Tensor]:
        """Separate a mix and its spectrum into ``[B, S, 2C, F, T]`` and ``[B, S, C, N]``."""


@dataclass(frozen=True)
class Family:
    """All that the engine asks of one family of models.

    Attributes:
        name: as messages call it.
        claims: true for a module that is of the family or holds one that is. Asked before everything else;
            imports nothing of the family's own package.
        one_module: one module of a bag, named for messages; any other as it is. Raises CompilerError.
        refuse: raises CompilerError for a module, named for messages, that is not supported.
        hop: samples that open lengths are multiples of.
        min_hops: the fewest of them that a graph of open length takes.
        at_length: a source that takes so many samples, ``"dynamic"`` for an open length, ``"segment"`` for
            its own; its module may be changed. Raises UsageError.
        cuts: the model between STFT and inverse STFT. Raises UsageError where there is nothing to cut.
        context: samples of the song that the family's own program may give a module on either side of a
            segment, whose windows are as long as it is itself; None where each window is a whole segment, or
            a graph cannot take others.
        surrounded: a module with so much around a segment, ``[B, C, N]`` to ``[B, S, C, N]`` with silence
            where the context was.
        differing_segments: for the metadata, those that the family's own program computes otherwise, of a
            module and the samples of a segment.
        lively: how a parameter is drawn that would leave a branch unheard; None for others.
        knows: true for a name, and the configuration that goes with it, that the family loads.
        load: the model that a user names; None where names mean nothing.
    """

    name: str
    claims: Callable[[nn.Module], bool]
    one_module: Callable[[nn.Module, str], nn.Module]
    refuse: Callable[[nn.Module, str], None]
    hop: Callable[[nn.Module], int]
    min_hops: int
    at_length: Callable[[SourceModel, int | str], SourceModel]
    cuts: Callable[[nn.Module], Spectrograms]
    differing_segments: Callable[[nn.Module, int], str]
    lively: DrawFor
    context: Callable[[nn.Module], int | None] = lambda _: None
    surrounded: Callable[[nn.Module, int], nn.Module] = lambda module, _: module
    knows: Callable[[str, Path | None], bool] = lambda *_: False
    load: Load | None = None
