"""Random small HTDemucs under random options: compiled and faithful, or refused with a reason."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import onnx
import pytest
import torch
from demucs.htdemucs import HTDemucs
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from torch import nn

from onnx_demucs_compiler import CompilerError, compile
from onnx_demucs_compiler.loading import make_lively

RATES = (8000, 44100, 48000)
STEMS = ("drums", "bass", "other", "vocals", "guitar", "piano")

MODELS = st.fixed_dictionaries(
    {
        "sources": st.integers(1, 6).map(lambda count: list(STEMS[:count])),
        "audio_channels": st.integers(1, 2),
        "channels": st.sampled_from([8, 16]),
        "nfft": st.sampled_from([256, 512, 600, 1024]),
        "depth": st.integers(1, 2),
        "dconv_mode": st.integers(0, 3),
        "cac": st.booleans(),
        "wiener_iters": st.sampled_from([-1, 0, 0, 1]),
        "norm_starts": st.integers(1, 2),
        "bottom_channels": st.sampled_from([0, 16]),
        "t_layers": st.integers(0, 2),
        "t_heads": st.sampled_from([1, 2]),
        "t_emb": st.sampled_from(["sin", "cape", "scaled"]),
        "t_norm_first": st.booleans(),
        "t_cross_first": st.booleans(),
        "t_norm_in_group": st.booleans(),
        "t_group_norm": st.booleans(),
        "t_sin_random_shift": st.sampled_from([0, 3]),
        "samplerate": st.sampled_from(RATES),
        "samples": st.integers(2000, 5000),
    }
)
SHAPES = st.fixed_dictionaries(
    {},
    optional={
        "interface": st.sampled_from(["waveform", "core", "spectral", "openkara"]),
        "batch": st.sampled_from([1, 2, "dynamic"]),
        "length": st.sampled_from(["segment", "dynamic", 4096, 4097]),
    },
)
CHOICES = st.one_of(
    st.just({}),
    st.sampled_from([("drums",), ("vocals", "drums"), ("bass", "bass")]).map(lambda names: {"stems": names}),
    st.fixed_dictionaries(
        {"two_stems": st.sampled_from(["drums", "vocals"]), "other_method": st.sampled_from(["add", "minus"])}
    ),
)
OPTIONS = st.builds(
    lambda *parts: {key: value for part in parts for key, value in part.items()},
    st.one_of(SHAPES, st.just({"track": True})),
    CHOICES,
    st.sampled_from([17, 18, 26]).map(lambda opset: {"opset": opset}),
)
REASONS = re.compile(
    "names no stem, or one twice|the model has no stem|is not a multiple of the hop|masks magnitudes"
    "|other_method=minus needs the whole mix|iterates Wiener filters|the model's only stem"
)
"""What a refusal may say; anything else is a fault of the compiler."""


def build(choices: dict[str, Any]) -> nn.Module:
    choices = {"end_iters": choices["wiener_iters"], **choices}
    samples = choices.pop("samples")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = HTDemucs(**choices, segment=Fraction(samples, choices["samplerate"]))
    make_lively(model, 1)
    return model.eval()


def drawn(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with so many models, the same every time."""
    chosen = settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    return lambda test: chosen(given(choices=MODELS, options=OPTIONS)(test))


@drawn(2)
def test_compiles_and_matches_or_refuses_with_a_reason(
    choices: dict[str, Any], options: dict[str, Any]
) -> None:
    compile_or_refuse(choices, options)


@pytest.mark.thorough
@drawn(12)
def test_so_do_more_models(choices: dict[str, Any], options: dict[str, Any]) -> None:
    compile_or_refuse(choices, options)


def compile_or_refuse(choices: dict[str, Any], options: dict[str, Any]) -> None:
    model = build(choices)
    try:
        compiled = compile(model, **options)
    except CompilerError as error:
        if not REASONS.search(str(error)):
            raise
        note(f"refused: {error}")
        return
    onnx.checker.check_model(compiled.model, full_check=True)
    assert compiled.report.fidelity
