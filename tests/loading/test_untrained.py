import os
import subprocess
import sys
from fractions import Fraction
from typing import Any

import pytest
import torch
from demucs.api import list_models
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading import SourceModel, load_model
from onnx_demucs_compiler.loading.families.demucs.architectures import MEMBERS
from onnx_demucs_compiler.loading.families.demucs.bags import read_bag
from onnx_demucs_compiler.loading.families.demucs.untrained import ARCHITECTURES


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


def without_weights(name: str) -> Any:
    """The architecture as a shape only: gigabytes and minutes less."""
    with torch.device("meta"):
        return ARCHITECTURES[name]()


def test_every_bag_that_demucs_ships_can_be_built_untrained() -> None:
    shipped = list_models()["bag"]
    assert set(ARCHITECTURES) == set(shipped)
    assert set(MEMBERS) == {signature for path in shipped.values() for signature in read_bag(path).signatures}


def test_hdemucs_mmi_has_the_size_of_its_checkpoint() -> None:
    model = without_weights("hdemucs_mmi")
    assert type(model) is HDemucs
    assert (model.segment, model.samplerate) == (44, 44100)
    # The released checkpoint is 167.4 MB in half precision.
    assert sum(parameter.numel() for parameter in model.parameters()) == 83_637_832


DEMUCS, HYBRID, MASKING, BANDED = 133_753_064, 83_637_832, 83_633_984, 83_910_360


@pytest.mark.parametrize(
    ("name", "sizes", "weights"),
    [
        (
            "mdx",
            [DEMUCS, DEMUCS, MASKING, BANDED],
            [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 1]],
        ),
        ("mdx_extra", [HYBRID, MASKING, MASKING, HYBRID], [[1, 1, 1, 1]] * 4),
        ("repro_mdx_a", [DEMUCS, DEMUCS, HYBRID, HYBRID], [[1, 1, 1, 1]] * 4),
        ("repro_mdx_a_hybrid_only", [HYBRID, HYBRID], [[2, 2, 2, 2]] * 2),
        ("repro_mdx_a_time_only", [DEMUCS, DEMUCS], [[2, 2, 2, 2]] * 2),
    ],
)
def test_a_bag_has_each_member_once_and_upstreams_weights(
    name: str, sizes: list[int], weights: list[list[int]]
) -> None:
    bag = without_weights(name)
    members = [sum(parameter.numel() for parameter in member.parameters()) for member in bag.models]
    assert members == sizes
    assert bag.weights == weights
    assert (bag.segment, bag.sources) == (44, ["drums", "bass", "other", "vocals"])
    assert {type(member) for member in bag.models} <= {Demucs, HDemucs}


@pytest.mark.parametrize("name", ["mdx", "mdx_extra"])
def test_a_quantised_bag_is_the_same_architecture(name: str) -> None:
    plain, quantised = without_weights(name), without_weights(f"{name}_q")
    assert quantised.weights == plain.weights
    shapes = {key: value.shape for key, value in plain.state_dict().items()}
    assert {key: value.shape for key, value in quantised.state_dict().items()} == shapes


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
            "'htdemuc' can be built untrained; did you mean htdemucs? known: hdemucs_mmi, htdemucs, ",
        ),
        ("untrained:", "no model named '' can be built untrained; known: hdemucs_mmi, htdemucs, htdemucs_6s"),
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
