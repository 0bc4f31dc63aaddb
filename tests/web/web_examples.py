"""A small model for the browser, and songs for it."""

from fractions import Fraction
from pathlib import Path

RATE = 44100


def write_web_model(path: Path) -> Path:
    """A lively HTDemucs of two stems and segments of half a second, compiled for the browser."""
    import torch

    from onnx_demucs_compiler import compile
    from onnx_demucs_compiler.loading import make_lively
    from onnx_demucs_rules.examples import small_htdemucs

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = small_htdemucs(depth=3, samplerate=RATE, segment=Fraction(1, 2))
        make_lively(module, 1)
    return compile(module, target="web", verify=False).save(path)
