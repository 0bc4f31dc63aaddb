"""A network in the form of a model: mix in, stems out."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]
from torch import Tensor, nn

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading.families.networks.package import networks_package
from onnx_demucs_compiler.loading.lively import uniform
from onnx_demucs_compiler.loading.source_model import SourceModel, from_module

if TYPE_CHECKING:
    from onnx_demucs_compiler.loading.families.networks.config import Configuration
    from onnx_demucs_compiler.loading.lively import Draw


class Network(nn.Module):
    """A network of pymss-core.

    Attributes:
        sources: the stems in the order of the output.
        samplerate: in Hz.
        audio_channels: of the mix.
        segment: that it is run on, in seconds.
    """

    def __init__(self, network: nn.Module, configuration: Configuration) -> None:
        """Take a network, and what its configuration says of the audio."""
        super().__init__()
        self.network = network
        self.sources = list(configuration.sources)
        self.samplerate = configuration.sample_rate
        self.audio_channels = configuration.channels
        self.segment = configuration.chunk / configuration.sample_rate

    def forward(self, mix: Tensor) -> Tensor:
        """``[B, C, N]`` to ``[B, S, C, N]``; networks of one stem leave its axis out."""
        stems: Tensor = self.network(mix)
        return stems.unsqueeze(1) if stems.ndim == mix.ndim else stems


def build(configuration: Configuration, name: str) -> Network:
    """Build the network of a configuration, with new weights.

    Raises:
        CompilerError: the architecture does not take these values.
    """
    # pymss-core reads a file; this one holds plain values only.
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "config.yaml"
        plain.write_text(yaml.safe_dump(dict(configuration.values)), encoding="utf-8")
        try:
            network, _ = networks_package().get_model_from_config(
                configuration.kind, plain, _beside(configuration)
            )
        except (TypeError, ValueError, KeyError, AttributeError, AssertionError, RuntimeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CompilerError(f"{name} makes no {configuration.kind}: {reason}") from error
    return Network(network.float(), configuration)


def _beside(configuration: Configuration) -> dict[str, bool]:
    """Arguments that a configuration leaves out, where pymss-core's default differs.

    Mel-Band RoFormers keep their lowest bin, as pymss 2.1.12 has them too.
    """
    model = configuration.values.get("model", {})
    return {"zero_dc": False} if configuration.kind == "mel_band_roformer" and "zero_dc" not in model else {}


def source_of(network: Network, configuration: Configuration, name: str, provenance: str) -> SourceModel:
    """A network with the facts of its configuration.

    ``name`` and ``provenance`` are as for :func:`from_module`.
    """
    source = from_module(network.eval(), name, provenance=provenance)
    return replace(source, segment=configuration.chunk, fade_step=configuration.step)


def draw_for(_: nn.Module, __: str, name: str) -> Draw | None:
    """The gains of norms that are the networks' own."""
    return uniform(0.5, 1.5) if name == "gamma" else None
