"""A model small enough to run in a blink, as an artifact (``torch_twin`` has it as a torch module).

Each source is a convolution of the mix, so that what lies beyond a segment's border matters, times an
envelope over the segment, so that it matters where in the segment a sample lies.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnx_demucs_compiler.artifact.metadata import ArtifactMetadata

KERNEL = 65


@dataclass(frozen=True)
class TinyModel:
    channels: int = 2
    segment: int = 1000
    sample_rate: int = 8000
    sources: tuple[str, ...] = ("drums", "bass", "vocals")
    name: str = "untrained:tiny?seed=0"
    batch: int = 1

    @property
    def kernel(self) -> np.ndarray:
        shape = (len(self.sources) * self.channels, self.channels, KERNEL)
        return np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)

    @property
    def envelope(self) -> np.ndarray:
        return np.linspace(0.2, 1.5, self.segment, dtype=np.float32)

    @property
    def metadata(self) -> ArtifactMetadata:
        return ArtifactMetadata(
            sources=self.sources,
            sample_rate=self.sample_rate,
            audio_channels=self.channels,
            segment=self.segment,
            interface="waveform",
            precision="fp32",
            target="portable",
            model=self.name,
            weights="00",
            rules=(),
            versions=(("onnx-demucs-compiler", "0"),),
            batch=str(self.batch),
        )

    def save(self, path: Path, **changes: Any) -> Path:
        """Write the artifact, its metadata changed as told."""
        mix = [self.batch, self.channels, self.segment]
        stems = [self.batch, len(self.sources), *mix[1:]]
        graph = helper.make_graph(
            [
                helper.make_node("Conv", ["mix", "kernel"], ["filtered"], pads=[KERNEL // 2] * 2),
                helper.make_node("Reshape", ["filtered", "shape"], ["split"]),
                helper.make_node("Mul", ["split", "envelope"], ["stems"]),
            ],
            "tiny",
            [helper.make_tensor_value_info("mix", TensorProto.FLOAT, mix)],
            [helper.make_tensor_value_info("stems", TensorProto.FLOAT, stems)],
            [
                numpy_helper.from_array(self.kernel, "kernel"),
                numpy_helper.from_array(self.envelope, "envelope"),
                numpy_helper.from_array(np.array(stems), "shape"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, replace(self.metadata, **changes).to_props())
        onnx.save(model, path)
        return path
