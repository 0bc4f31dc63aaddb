"""Write ``fixtures.json``: plans, weights, stems and samples as Python has them.

python web/separator/test/fixtures.py
"""

from __future__ import annotations

import base64
import io
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import soundfile
import soxr
from onnx.external_data_helper import set_external_data

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parents[2] / "tests" / "runtime")]

from tiny_model import TinyModel  # noqa: E402

from onnx_demucs_compiler.runtime import Separator  # noqa: E402
from onnx_demucs_compiler.runtime.segments import plan, stride_of, triangle  # noqa: E402
from onnx_demucs_compiler.runtime.statistics import TrackStatistics  # noqa: E402

TRACKS = [
    (1, 10, 0.25),
    (9, 10, 0.25),
    (10, 10, 0.25),
    (11, 10, 0),
    (47, 10, 0.8),
    (40, 9, 0.5),
    (31, 7, 0.25),
]
SIZES = [1, 2, 7, 10]
RATES = [(48000, 44100), (44100, 48000), (32000, 44100), (44100, 8000), (8000, 44100), (44101, 44100)]
SUBTYPES = ["PCM_16", "PCM_24", "PCM_32", "FLOAT"]


def packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def noise(samples: int, mean: float = 0.02) -> np.ndarray:
    return np.random.default_rng(1).normal(mean, 0.1, (2, samples)).astype(np.float32)


def tones(samples: int, rate: int, highest: float) -> np.ndarray:
    """Sines up to a frequency in Hz, that begin and end softly."""
    time = np.arange(samples) / rate
    sines = [np.sin(2 * np.pi * frequency * time + frequency) for frequency in np.linspace(50, highest, 9)]
    return (np.hanning(samples) * sum(sines) / 9).astype(np.float32)


def planned(track: int, size: int, overlap: float) -> dict[str, object]:
    stride = stride_of(size, overlap)
    segments = [asdict(segment) for segment in plan(track, size, stride)]
    found = [[s["start"], s["length"], s["settled"], s["window"][0] - s["left"]] for s in segments]
    return {"track": track, "size": size, "overlap": overlap, "stride": stride, "segments": found}


def resampled(source: int, target: int) -> dict[str, object]:
    # Above that soxr's own level falls: by 0.01 dB where its pass band ends.
    signal = tones(700, source, 0.25 * min(source, target))
    stream = soxr.ResampleStream(source, target, 1, dtype="float32")
    result = np.concatenate([stream.resample_chunk(signal), stream.resample_chunk(signal[:0], last=True)])
    return {"from": source, "to": target, "signal": packed(signal), "result": packed(result)}


def encoded(subtype: str, container: str) -> dict[str, object]:
    file = io.BytesIO()
    soundfile.write(file, noise(23).T, 8000, subtype, format=container)
    read = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")[0].T
    bytes_ = base64.b64encode(file.getvalue()).decode()
    return {"name": f"{container} {subtype}", "file": bytes_, "channels": [packed(row) for row in read]}


def separated(folder: Path) -> dict[str, object]:
    """A model, with its weights inside and in a second file, and its stems."""
    tiny = TinyModel(segment=200, sources=("vocals", "no_vocals"))
    path = tiny.save(
        folder / "tiny.onnx", other_method="add", model_sources=("drums", "bass", "other", "vocals")
    )
    mix = noise(470, mean=0.3)
    stems = Separator(path, threads=1).separate(mix)
    model = onnx.load(path)
    [kernel] = [tensor for tensor in model.graph.initializer if tensor.name == "kernel"]
    data = kernel.raw_data
    set_external_data(kernel, "tiny.onnx.data", 0, len(data))
    kernel.ClearField("raw_data")
    return {
        "model": base64.b64encode(path.read_bytes()).decode(),
        "graph": base64.b64encode(model.SerializeToString()).decode(),
        "data": base64.b64encode(data).decode(),
        "mix": [packed(row) for row in mix],
        "stems": {name: [packed(row) for row in stem] for name, stem in stems.items()},
    }


def statistics() -> dict[str, object]:
    mix = noise(300)
    found = TrackStatistics.of([mix])
    return {"mix": [packed(row) for row in mix], "mean": float(found.mean), "scale": float(found.scale)}


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        fixtures = {
            "plans": [planned(*track) for track in TRACKS],
            "weights": {size: [float(weight) for weight in triangle(size)] for size in SIZES},
            "statistics": statistics(),
            "separated": separated(Path(folder)),
            "resampled": [resampled(*rates) for rates in RATES],
            "wav": [encoded(subtype, kind) for subtype in SUBTYPES for kind in ("WAV", "WAVEX")],
        }
    (HERE / "fixtures.json").write_text(json.dumps(fixtures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
