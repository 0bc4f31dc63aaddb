import os
import subprocess
import sys
from fractions import Fraction
from typing import Any

import pytest
import torch

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading import SourceModel, load_model


@pytest.fixture(scope="module")
def htdemucs() -> SourceModel:
    return load_model("untrained:htdemucs")


def parameters(model: SourceModel) -> int:
    return sum(parameter.numel() for parameter in model.module.parameters())


def test_htdemucs_is_the_published_architecture(htdemucs: SourceModel) -> None:
    module: Any = htdemucs.module
    assert parameters(htdemucs) == 41_984_456
    assert htdemucs.name == "untrained:htdemucs"
    assert htdemucs.sources == ("drums", "bass", "other", "vocals")
    assert (htdemucs.sample_rate, htdemucs.audio_channels, htdemucs.segment) == (44100, 2, 343980)
    assert htdemucs.provenance == "untrained htdemucs, seed 1"
    assert module.segment == Fraction(39, 5)
    assert not module.training


def test_htdemucs_6s_has_two_more_stems_and_no_wider_bottom() -> None:
    model = load_model("untrained:htdemucs_6s")
    assert model.sources == ("drums", "bass", "other", "vocals", "guitar", "piano")
    assert model.segment == 343980
    # The released checkpoint is 55 MB in half precision.
    assert parameters(model) == 27_414_996


def test_htdemucs_is_lively(htdemucs: SourceModel) -> None:
    scales = torch.cat(
        [p.flatten() for name, p in htdemucs.module.named_parameters() if name.endswith(".scale")]
    )
    assert scales.numel() > 10_000
    assert 0.3 <= scales.min() < 0.301
    assert 0.699 < scales.max() <= 0.7


def test_the_seed_decides_every_weight(htdemucs: SourceModel) -> None:
    assert load_model("untrained:htdemucs?seed=1").weights_digest() == htdemucs.weights_digest()
    other = load_model("untrained:htdemucs?seed=2")
    assert other.provenance == "untrained htdemucs, seed 2"
    for name, parameter in other.module.named_parameters():
        assert not torch.equal(parameter, htdemucs.module.get_parameter(name)), name


def test_global_random_state_is_neither_read_nor_changed(htdemucs: SourceModel) -> None:
    torch.manual_seed(99)
    before = torch.get_rng_state()
    digest = load_model("untrained:htdemucs").weights_digest()
    assert torch.equal(torch.get_rng_state(), before)
    assert digest == htdemucs.weights_digest()


_ELSEWHERE = """
import torch
torch.set_num_threads(1)
from onnx_demucs_compiler.loading import load_model
print(load_model("untrained:htdemucs").weights_digest())
"""


def test_another_process_with_one_thread_builds_the_same(htdemucs: SourceModel) -> None:
    elsewhere = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE],
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == htdemucs.weights_digest()


def test_two_models_share_no_state() -> None:
    one: Any = load_model("untrained:htdemucs_6s").module
    one.sources.append("kazoo")
    assert "kazoo" not in load_model("untrained:htdemucs_6s").sources


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "untrained:htdemuc",
            "'htdemuc' can be built untrained; did you mean htdemucs? known: htdemucs, htdemucs_6s",
        ),
        ("untrained:", "no model named '' can be built untrained; known: htdemucs, htdemucs_6s"),
        ("untrained:htdemucs?", "cannot read '?' in 'untrained:htdemucs?'; write untrained:htdemucs?seed=N"),
        ("untrained:htdemucs?seed=", "cannot read '?seed='"),
        ("untrained:htdemucs?seed=-1", "cannot read '?seed=-1'"),
        ("untrained:htdemucs?sed=1", "cannot read '?sed=1'"),
        ("untrained:htdemucs?seed=1&x=2", "cannot read '?seed=1&x=2'"),
        ("untrained:htdemucs?seed=1234567890123456789", "at most 18 digits"),
    ],
)
def test_what_cannot_be_read_is_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        load_model(spec)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
