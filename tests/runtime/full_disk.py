"""Encode a stem, FOLDER ENCODING TAGS, to a disk that fills up at one place after another.

The last two are JSON.
"""

import json
import resource
import signal
import sys
from pathlib import Path

import numpy as np

from onnx_demucs_compiler.runtime.encoding import Encoding, RawStem
from onnx_demucs_compiler.runtime.tags import Tags

STEM = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 6000)).astype(np.float32)
NONE = resource.RLIM_INFINITY


def encode(folder: Path, encoding: Encoding, tags: Tags, limit: int) -> int:
    """Encode with so many bytes of room; return those of the file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (NONE, NONE))
    raw = RawStem(folder / "stem.f32", 2)
    raw.path.unlink(missing_ok=True)
    raw.append(STEM)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, NONE))
    raw.encode(folder / "stem", 44100, encoding, tags)
    return (folder / "stem").stat().st_size


def main(folder: Path, encoding: Encoding, tags: Tags) -> None:
    """Tell where writing failed and nobody noticed."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = encode(folder, encoding, tags, NONE)
    for limit in (*range(0, size, 499), size - 1):
        try:
            encode(folder, encoding, tags, limit)
            sys.stdout.write(f"unnoticed: {limit} of {size}\n")
        except OSError:
            pass
    encode(folder, encoding, tags, size)


if __name__ == "__main__":
    [_, place, settings, texts] = sys.argv
    main(Path(place), Encoding(**json.loads(settings)), Tags(json.loads(texts)))
