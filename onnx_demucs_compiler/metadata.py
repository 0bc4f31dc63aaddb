"""What an artefact says of itself, in ONNX ``metadata_props``: written by the compiler, read by the runtime.

The plain keys (``sources``, ``sample_rate``, ``audio_channels``, ``precision``) are the dialect that
demucs-next clients already read; everything else is namespaced with ``onnx_demucs.``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "onnx_demucs."


@dataclass(frozen=True)
class ArtifactMetadata:
    """The facts a client needs to drive an artefact without flags.

    Attributes:
        sources: stem names in the order of the ``stems`` output's second axis.
        sample_rate: in Hz.
        audio_channels: channels of the waveform input and of every stem.
        segment: samples per channel that one run takes.
        interface: ``waveform`` (``mix [B, C, N]`` in, ``stems [B, S, C, N]`` out).
        precision: ``fp32``.
        target: ``portable``.
        model: what was compiled, as the user named it.
        weights: sha256 of the parameters (hexadecimal), in the order of their names.
        rules: names of the rules that fired.
        versions: the packages that produced the file.
    """

    sources: tuple[str, ...]
    sample_rate: int
    audio_channels: int
    segment: int
    interface: str
    precision: str
    target: str
    model: str
    weights: str
    rules: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]

    def to_props(self) -> dict[str, str]:
        """The ``metadata_props`` of the model, in a fixed order."""
        return {
            "sources": json.dumps(list(self.sources)),
            "sample_rate": str(self.sample_rate),
            "audio_channels": str(self.audio_channels),
            "precision": self.precision,
            PREFIX + "segment": str(self.segment),
            PREFIX + "interface": self.interface,
            PREFIX + "target": self.target,
            PREFIX + "model": self.model,
            PREFIX + "weights": self.weights,
            PREFIX + "rules": json.dumps(list(self.rules)),
            PREFIX + "versions": json.dumps(dict(self.versions)),
        }

    @classmethod
    def from_props(cls, props: Mapping[str, str]) -> ArtifactMetadata:
        """Read back what :meth:`to_props` wrote.

        Raises:
            CompilerError: the properties are not those of an artefact of this compiler.
        """
        try:
            return cls(
                sources=tuple(json.loads(props["sources"])),
                sample_rate=int(props["sample_rate"]),
                audio_channels=int(props["audio_channels"]),
                segment=int(props[PREFIX + "segment"]),
                interface=props[PREFIX + "interface"],
                precision=props["precision"],
                target=props[PREFIX + "target"],
                model=props[PREFIX + "model"],
                weights=props[PREFIX + "weights"],
                rules=tuple(json.loads(props[PREFIX + "rules"])),
                versions=tuple(json.loads(props[PREFIX + "versions"]).items()),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise CompilerError(
                "this model was not made by onnx-demucs-compile (its metadata lacks or garbles "
                f"{error}); compile the checkpoint with onnx-demucs-compile first"
            ) from error
