"""Golden vectors of what clients compute themselves, as small ``.npy`` files.

A client has an STFT and its inverse of its own, or at least segments and their sum. These are its inputs and
outputs, made by this package's own client; no model has a part in them.
"""

from __future__ import annotations

import io
from string import Template
from typing import TYPE_CHECKING

import numpy as np

from onnx_demucs_compiler._version import __version__
from onnx_demucs_compiler.artifact.metadata import OVERLAPPING, ArtifactMetadata
from onnx_demucs_compiler.artifact.writing import check_replaceable_folder, write_folder
from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.runtime.interfaces import host_side
from onnx_demucs_compiler.runtime.segments import DEFAULT_OVERLAP, OverlapAdd, plan, stride_of
from onnx_demucs_compiler.runtime.statistics import TrackStatistics
from onnx_demucs_compiler.view.ports import INTERFACES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from onnx_demucs_compiler.runtime.audio import Audio

N_FFT = 4096
"""Of every model that demucs ships."""

LARGEST_N_FFT = 1 << 16
CHANNELS = 2
STEMS = 2
SONG = "song"
STEMS_OUT = "separated"
"""What stands beside the ports of an interface: before the first, and after the last."""

_README = Template("""\
# Golden vectors

Written by onnx-demucs $version, `onnx-demucs golden --n-fft $n_fft`. A folder for each interface: the
inputs of a graph that a client makes of audio, outputs that a graph might give, and the stems that a client
makes of these. No model has a part in them: outputs are noise, since an inverse STFT must be right for any
numbers.

Arrays are little-endian float32 in C order (`.npy`, version 1.0): $channels channels, $stems stems.

| file | shape | axes |
|---|---|---|
$rows

The interfaces' STFT is that of demucs: n_fft and window $n_fft, hop $hop, F = $bins bins (the Nyquist bin
is left out), T = N / hop rounded up.

- **Forward.** Reflect the mix by $lead samples at the left, and at the right by $lead and what N lacks of T
  hops. Frame t begins at sample t · hop of that. Multiply by a periodic Hann window, 0.5 - 0.5 cos(2πn /
  $n_fft), take the transform, and divide by √$n_fft.
- **Inverse.** With the Nyquist bin 0, the inverse transform (which divides by $n_fft) of each frame, times
  √$n_fft, times the window; add the frames up, divide by 1.5, and leave out the first $lead samples. The
  squares of the windows over a sample sum to 1.5 everywhere, since demucs puts silent frames on either
  side. The imaginary part of bin 0 counts for nothing.
- **Stems** are the inverse STFT of the graph's spectrum plus its waveform.

In `waveform`, $song is a song of $length samples, cut into segments of $segment with an overlap of
$overlap: `mix` is what the graph gets, segment after segment, and `stems` what it might give.

- **Level.** Subtract the mean of the song's mono mix-down; divide by its unbiased deviation plus 1e-8. Undo
  both in the end.
- **Segments** start $stride samples after one another. One that goes past the end is centred on what is
  left of the song, which surrounds it where there is more, and silence where there is none: its window
  begins half of what is missing before its start, rounded down.
- **Sum.** Weights rise from 1/m to 1 in the middle of a segment and fall again, m = segment / 2; add
  weighted estimates up, and divide by the sum of weights. Of the last segments the weights begin at the
  segment's start.

Compare in decibels, 10 log10(Σ wanted² / Σ (found - wanted)²). The files agree with demucs' own STFT in
float64 to 130 dB. A client that computes in float32 reaches 120 dB; where it is below 100 dB something is
wrong.
""")


def check_golden(folder: Path, n_fft: int, *, force: bool) -> None:
    """Fail early if golden vectors cannot be written.

    Raises:
        UsageError: there is no such transform; or something is there, and is not to be replaced, or is more
            than golden vectors.
        CompilerError: the folder that it goes into is not there.
    """
    if not (16 <= n_fft <= LARGEST_N_FFT and n_fft & (n_fft - 1) == 0):
        raise UsageError(f"--n-fft takes a power of two from 16 to {LARGEST_N_FFT}, and not {n_fft}")
    known = ("README.md", *INTERFACES, *(f"{name}.npy" for name in vectors(16)))
    refusal = "holds more than golden vectors, and would be replaced"
    check_replaceable_folder(folder, known, refusal, force=force)


def write_golden(folder: Path, n_fft: int = N_FFT, *, force: bool = False) -> Path:
    """Write golden vectors and a README, whole or not at all.

    Args:
        folder: what appears once it is complete.
        n_fft: of the STFT, a power of two.
        force: replace earlier ones.

    Returns:
        The path of the README in it.

    Raises:
        UsageError: there is no such transform; or something is there, and is not to be replaced, or is more
            than golden vectors.
        CompilerError: it cannot be written.
    """
    check_golden(folder, n_fft, force=force)
    found = vectors(n_fft)
    files = {f"{name}.npy": _npy(array) for name, array in found.items()}
    write_folder(folder, {"README.md": _readme(found, n_fft).encode(), **files})
    return folder / "README.md"


def vectors(n_fft: int) -> dict[str, Audio]:
    """The vectors of every interface, float32, by ``INTERFACE/NAME``."""
    found: dict[str, Audio] = {}
    for interface in INTERFACES:
        made = _waveform(n_fft) if interface == "waveform" else _cut(interface, n_fft)
        found |= {f"{interface}/{name}": array for name, array in made.items()}
    return found


def _cut(interface: str, n_fft: int) -> dict[str, Audio]:
    """The graph's inputs for a mix, possible outputs, and their stems."""
    host = host_side(_metadata(interface, n_fft))
    random = np.random.RandomState(0)  # its numbers are the same in every release of numpy
    [shape] = [port for port in host.inputs.values() if len(port) == 3]
    feeds = dict(zip(host.inputs, host.feeds(_noise(random, shape)), strict=True))
    outputs = {name: _noise(random, shape) for name, shape in host.outputs.items()}
    return {**feeds, **outputs, STEMS_OUT: host.stems(list(outputs.values()))}


def _waveform(n_fft: int) -> dict[str, Audio]:
    """A song, its segments, possible stems of each, and the song's."""
    metadata = _metadata("waveform", n_fft)
    size = metadata.segment
    random = np.random.RandomState(0)
    song = _noise(random, (CHANNELS, _song_length(size)))
    statistics = TrackStatistics.of([song])
    segments = list(plan(song.shape[1], size, stride_of(size, DEFAULT_OVERLAP)))
    mixes = [segment.pad(statistics.normalise(song[:, slice(*segment.window)])) for segment in segments]
    estimates = _noise(random, (len(segments), STEMS, CHANNELS, size))
    total = OverlapAdd(STEMS, CHANNELS, size)
    settled = []
    for segment, estimate in zip(segments, estimates, strict=True):
        total.add(segment.trim(estimate))
        settled.append(total.settle(segment.settled))
    separated = statistics.restore(np.concatenate(settled, axis=-1), np.ones((STEMS, 1, 1), np.float32))
    return {SONG: song, "mix": np.stack(mixes), "stems": estimates, STEMS_OUT: separated}


def _metadata(interface: str, n_fft: int) -> ArtifactMetadata:
    """The metadata of an artifact of the interface."""
    return ArtifactMetadata(
        sources=tuple(f"stem{number}" for number in range(STEMS)),
        sample_rate=44100,
        audio_channels=CHANNELS,
        segment=5 * n_fft // 8,
        interface=interface,
        precision="fp32",
        target="portable",
        model="",
        weights="",
        rules=(),
        versions=(),
        n_fft=0 if interface == "waveform" else n_fft,
    )


def _song_length(segment: int) -> int:
    """Two segments and a rest, so that the end cuts some short."""
    return 2 * segment + segment // 3


def _noise(random: np.random.RandomState, shape: tuple[int | str, ...]) -> Audio:
    """Noise around a small mean."""
    noise: Audio = random.normal(0.02, 0.1, tuple(map(int, shape))).astype(np.float32)
    return noise


def _npy(array: Audio) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array, "<f4"), version=(1, 0))
    return file.getvalue()


def _readme(found: Mapping[str, Audio], n_fft: int) -> str:
    rows = [
        f"| `{name}.npy` | {list(array.shape)} | {_axes(*name.split('/'))} |" for name, array in found.items()
    ]
    segment, hop = 5 * n_fft // 8, n_fft // OVERLAPPING
    return _README.substitute(
        version=__version__,
        n_fft=n_fft,
        hop=hop,
        bins=n_fft // 2,
        lead=hop // 2 * 3,
        channels=CHANNELS,
        stems=STEMS,
        rows="\n".join(rows),
        song=f"`{SONG}`",
        length=_song_length(segment),
        segment=segment,
        overlap=DEFAULT_OVERLAP,
        stride=stride_of(segment, DEFAULT_OVERLAP),
    )


def _axes(interface: str, name: str) -> str:
    ports = INTERFACES[interface]
    axes = {port.name: port.axes for port in (*ports.inputs, *ports.outputs)}
    whole = interface == "waveform"
    axes |= {SONG: ("C", "samples"), STEMS_OUT: ("S", "C", "samples") if whole else ("B", "S", "C", "N")}
    if whole:
        axes |= {"mix": ("segments", "C", "N"), "stems": ("segments", "S", "C", "N")}
    return ", ".join(axes[name])
