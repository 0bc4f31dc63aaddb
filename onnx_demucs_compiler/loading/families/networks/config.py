"""Configurations of Music-Source-Separation-Training, read without running what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading.families.networks.package import networks_package

if TYPE_CHECKING:
    from pathlib import Path

TUPLE = "tag:yaml.org,2002:python/tuple"
"""The one tag of Python's that such files need."""

SAMPLE_RATE = 44100
"""Of a configuration that states none."""

WAVEFORM_KINDS = ("bs_roformer", "mel_band_roformer", "mdx23c", "scnet")
"""Networks whose STFT is inside, and that are tested here."""


@dataclass(frozen=True)
class Configuration:
    """A network and its audio, as a configuration has them.

    Attributes:
        kind: the architecture, as pymss-core calls it.
        values: all of it.
        sources: the stems in the order of the network's output.
        sample_rate: in Hz.
        channels: of the mix.
        chunk: samples that the network is run on.
        step: samples between the starts of chunks.
    """

    kind: str
    values: Mapping[str, Any]
    sources: tuple[str, ...]
    sample_rate: int
    channels: int
    chunk: int
    step: int


def read_config(path: Path) -> Configuration:
    """Read a configuration.

    Raises:
        CompilerError: the file is missing or no YAML, asks for Python objects, is of no known architecture,
            or lacks a number that is needed.
    """
    return understood(_loaded(path), path.name)


def understood(values: object, name: str) -> Configuration:
    """Read the values of a configuration.

    Raises:
        CompilerError: they are of no known architecture, or lack a number that is needed.
    """
    package = networks_package()
    if not isinstance(values, Mapping):
        raise CompilerError(f"{name} is no configuration of a network: it holds no names with values")
    try:
        kind = package.detect_model_type(values)
    except package.ModelTypeDetectionError as error:
        raise CompilerError(
            f"{name}: {str(error).replace('Set model_type explicitly.', '').strip()}"
        ) from error
    if kind not in WAVEFORM_KINDS:
        raise CompilerError(f"{name} is of a {kind}; known are {', '.join(WAVEFORM_KINDS)}")
    facts = _Facts(values, name)
    chunk = facts.number("inference.chunk_size", "audio.chunk_size")
    return Configuration(
        kind,
        values,
        sources=facts.sources(),
        sample_rate=facts.number("audio.sample_rate", "model.sample_rate", default=SAMPLE_RATE),
        channels=facts.channels(),
        chunk=chunk,
        step=facts.step(chunk),
    )


class _Facts:
    """Single facts of a configuration."""

    def __init__(self, values: Mapping[str, Any], name: str) -> None:
        self.values, self.name = values, name

    def get(self, place: str) -> Any:
        """The value at ``section.name``; None where there is none."""
        section, _, key = place.partition(".")
        inside = self.values.get(section)
        return inside.get(key) if isinstance(inside, Mapping) else None

    def number(self, *places: str, default: int | None = None) -> int:
        """The first of several places that holds a whole number above 0."""
        found = next((value for place in places if (value := self.get(place)) is not None), default)
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise CompilerError(f"{self.name} has no whole number above 0 at {places[-1]}: {found!r}")
        return found

    def step(self, chunk: int) -> int:
        """As pymss 2.1.12 reads it: half a chunk where nothing is said."""
        if (overlap := self.get("inference.overlap_size")) is not None:
            step = chunk - overlap if isinstance(overlap, int) else 0
        else:
            step = chunk // self.number("inference.num_overlap", default=2)
        if not 0 < step <= chunk:
            raise CompilerError(f"{self.name} leaves no step between chunks of {chunk} samples")
        return step

    def channels(self) -> int:
        """Two where the network says ``stereo``, else those of the audio."""
        if (stereo := self.get("model.stereo")) is not None:
            return 2 if stereo else 1
        return self.number("audio.num_channels", "model.audio_channels", default=2)

    def sources(self) -> tuple[str, ...]:
        """The one instrument that the network was trained for, or all."""
        target = self.get("training.target_instrument")
        names = [target] if target else self.get("training.instruments") or self.get("model.sources")
        if not isinstance(names, list | tuple) or not all(isinstance(each, str) and each for each in names):
            raise CompilerError(f"{self.name} does not name its stems at training.instruments")
        stems = self.get("model.num_stems")
        if stems is not None and stems != len(names):
            raise CompilerError(
                f"{self.name} names {len(names)} stems ({', '.join(names)}), and model.num_stems is {stems}"
            )
        return tuple(names)


def _loaded(path: Path) -> object:
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, Loader=_Loader)
    except yaml.constructor.ConstructorError as error:
        raise CompilerError(f"{path} asks for more than values: {error.problem}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise CompilerError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise CompilerError(f"{path} cannot be read: {error.strerror}") from error


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Numbers, strings, lists and names with values; tuples become lists."""


_Loader.add_constructor(TUPLE, _Loader.construct_sequence)
