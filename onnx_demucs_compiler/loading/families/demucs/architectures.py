"""The architecture behind each signature that demucs' bags name, without its training.

The hyperparameters come from what demucs publishes: the defaults of its classes, which where they matter
here are those of its ``conf/config.yaml``; its ``demucs/grids``; and the model zoo in its
``docs/training.md``. Where these are silent, the sizes of the released checkpoints, 2 bytes for each
parameter, tell some of the rest:

- ``htdemucs*``: the sizes agree with those of the released checkpoints.
- ``hdemucs_mmi``: the grid ``mmi`` trains ``hdemucs`` with its defaults; 167.4 MB, as here.
- ``repro_mdx_a*``: the grid ``repro`` trains two ``demucs`` with ``normalize=True`` and two ``hdemucs``, with
  defaults otherwise.
- ``mdx``: two Demucs of 64 channels and two HDemucs of 48, of which one masks magnitudes and the other has
  complex numbers as channels and weights of its own for some frequency bands. Its size is that of three
  bands in two layers; where the bands part is not published, and :data:`ASSUMED_BANDS` is a guess. The two
  Demucs are 178 MB, less than the 267 MB that the ``repro`` ones make, so they differ in something that is
  not published; here they are those of ``repro``.
- ``mdx_extra``: four HDemucs of 48 channels, two of which mask magnitudes: ``a1d90b5c`` and ``5d2d6c55``, by
  the 8 kB that a first and a last convolution of half the channels save.
- ``mdx_q`` and ``mdx_extra_q``: the same, quantised; here in float32. That the members of ``mdx_extra_q``
  stand in the order of ``mdx_extra`` is assumed.

Which of the models of 2021 pad their STFT without reflection (``hybrid_old``) is not published either; here
none does.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial

from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from torch import nn

FOUR_STEMS = ("drums", "bass", "other", "vocals")

ASSUMED_BANDS = (0.1, 0.3)
"""Where the frequency bands of ``mdx``'s fourth member part, as ratios of all frequencies."""


def htdemucs(sources: Sequence[str] = FOUR_STEMS, bottom_channels: int = 512) -> nn.Module:
    """Hybrid Transformer Demucs (v4)."""
    module: nn.Module = HTDemucs(
        sources=list(sources),
        channels=48,
        growth=2,
        nfft=4096,
        depth=4,
        dconv_mode=3,
        bottom_channels=bottom_channels,
        t_layers=5,
        t_heads=8,
        t_hidden_scale=4.0,
        segment=Fraction(39, 5),
        samplerate=44100,
    )
    return module


def hdemucs(cac: bool = True, bands: Sequence[float] = ()) -> nn.Module:
    """Hybrid Demucs (v3): a branch of spectrograms and one of waveforms."""
    module: nn.Module = HDemucs(list(FOUR_STEMS), cac=cac, multi_freqs=list(bands), multi_freqs_depth=2)
    return module


def demucs() -> nn.Module:
    """Demucs of the time domain (v3)."""
    module: nn.Module = Demucs(list(FOUR_STEMS), normalize=True)
    return module


htdemucs_6s = partial(htdemucs, (*FOUR_STEMS, "guitar", "piano"), bottom_channels=0)
masking = partial(hdemucs, cac=False)
banded = partial(hdemucs, bands=ASSUMED_BANDS)

MEMBERS: Mapping[str, Callable[[], nn.Module]] = {
    "955717e8": htdemucs,  # htdemucs
    "5c90dfd2": htdemucs_6s,  # htdemucs_6s
    "f7e0c4bc": htdemucs, "d12395a8": htdemucs, "92cfc3b6": htdemucs, "04573f0d": htdemucs,  # htdemucs_ft
    "75fc33f5": hdemucs,  # hdemucs_mmi
    "0d19c1c6": demucs, "7ecf8ec1": demucs, "c511e2ab": masking, "7d865c68": banded,  # mdx
    "6b9c2ca1": demucs, "b72baf4e": demucs, "42e558d4": masking, "305bc58f": banded,  # mdx_q
    "e51eebcc": hdemucs, "a1d90b5c": masking, "5d2d6c55": masking, "cfa93e08": hdemucs,  # mdx_extra
    "83fc094f": hdemucs, "464b36d7": masking, "14fc6a69": masking, "7fd6ef75": hdemucs,  # mdx_extra_q
    "9a6b4851": demucs, "1ef250f1": demucs, "fa0cb7f9": hdemucs, "902315c2": hdemucs,  # repro_mdx_a
}  # fmt: skip
