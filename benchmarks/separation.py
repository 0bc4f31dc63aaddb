"""A song through ``separate`` against demucs' apply_model, and the memory taken.

    python benchmarks/separation.py HTDEMUCS.onnx [--seconds 180] [--json FILE]

The artifact must be of ``untrained:htdemucs`` or whatever its metadata names. Peak memory is that of a
process that separates the song to disk, less what the same process holds after one run of the session.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile
import torch
from demucs.apply import BagOfModels, apply_model

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.loading.families.demucs.weighted_bag import WeightedBag
from onnx_demucs_compiler.runtime import Separator

if TYPE_CHECKING:
    import numpy as np

MEMORY = """
import sys
from pathlib import Path
import numpy as np
from benchmark_memory import peak_mb
from onnx_demucs_compiler.runtime import Separator, Encoding
separator = Separator(Path(sys.argv[1]))
metadata = separator.metadata
separator.separate(np.zeros((metadata.audio_channels, 2 * metadata.segment), np.float32))
before = peak_mb()
separator.separate_file(Path(sys.argv[2]), Path(sys.argv[3]), encoding=Encoding(float32=True))
print(before, peak_mb())
"""


def main() -> None:
    """Print SNR per stem and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    separator = Separator(arguments.artifact)
    metadata = separator.metadata
    song = synthetic_song(round(arguments.seconds * metadata.sample_rate), metadata.sample_rate)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "song.wav"
        soundfile.write(path, song.T, metadata.sample_rate, subtype="FLOAT")
        session_mb, peak_mb = _memory(arguments.artifact, path, Path(folder) / "stems")
    found = separator.separate(song)
    wanted = stems_by_demucs(metadata.model, song)
    snr = {stem: round(snr_db(wanted[stem], found[stem]), 1) for stem in metadata.sources}
    results = {
        "seconds": arguments.seconds,
        "snr_db": snr,
        "session_mb": session_mb,
        "beyond_session_mb": peak_mb - session_mb,
    }
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def stems_by_demucs(name: str, song: np.ndarray) -> dict[str, np.ndarray]:
    """The stems of demucs.api.Separator.separate_tensor, without its random shifts."""
    source = load_model(name)
    wav = torch.from_numpy(song)
    reference = wav.mean(0)
    mean, std = reference.mean(), reference.std() + 1e-8
    mix = ((wav - mean) / std)[None]
    stems = apply_model(_upstream(source.module), mix, shifts=0, overlap=0.25)[0] * std + mean
    return dict(zip(source.sources, stems.numpy(), strict=True))


def _upstream(module: Any) -> Any:
    if isinstance(module, WeightedBag):
        return BagOfModels(list(module.models), module.weights)
    return module


def _memory(artifact: Path, song: Path, out: Path) -> tuple[int, int]:
    command = [sys.executable, "-c", MEMORY, str(artifact.resolve()), str(song), str(out)]
    folder = Path(__file__).parent
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout
    before, after = map(int, printed.split())
    return before, after


if __name__ == "__main__":
    main()
