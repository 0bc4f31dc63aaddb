"""Bags whose members do not agree, do not count, or are of different classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from demucs import states
from demucs.apply import BagOfModels, apply_model
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.pretrained import get_model
from torch import Tensor, nn

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading import as_source_model, load_model
from onnx_demucs_compiler.loading.families.demucs.weighted_bag import WeightedBag

Package = dict[str, Any]
Write = Callable[..., Path]


@pytest.fixture
def two(package: Package, write_checkpoint: Write) -> Path:
    """A folder with two checkpoints that differ in their weights."""
    write_checkpoint(package, signature="deadbeef")
    package["state"] = {name: tensor * 0.9 for name, tensor in package["state"].items()}
    return write_checkpoint(package, signature="cafebabe").parent


@pytest.fixture
def audio() -> Tensor:
    return torch.randn(1, 2, 1600, generator=torch.Generator().manual_seed(0))


class Gain(nn.Module):
    """A member as simple as can be: each stem is the mix times a number."""

    def __init__(self, gain: float, segment: float = 1.0) -> None:
        super().__init__()
        self.sources, self.samplerate, self.audio_channels = ["left", "right"], 8000, 2
        self.segment = segment
        self.gain = nn.Parameter(torch.tensor(float(gain)))

    def forward(self, mix: Tensor) -> Tensor:
        return torch.stack([mix, -mix], dim=1) * self.gain


def test_members_of_different_segments_are_refused(
    two: Path, package: Package, write_checkpoint: Write
) -> None:
    package["kwargs"] = {**package["kwargs"], "segment": 0.1}
    write_checkpoint(package, signature="0badcafe")
    (two / "mine.yaml").write_text("models: ['deadbeef', '0badcafe']\n")
    with pytest.raises(CompilerError) as error:
        load_model("mine", repo=two)
    assert str(error.value) == (
        "the members of mine have different segments (HTDemucs 0: 0.2 s, HTDemucs 1: 0.1 s); "
        "give it a segment"
    )
    (two / "mine.yaml").write_text("models: ['deadbeef', '0badcafe']\nsegment: 0.1\n")
    assert load_model("mine", repo=two).segment == 800


def test_a_member_that_does_not_count_may_have_any_segment() -> None:
    bag = BagOfModels([Gain(1, 1), Gain(2, 2), Gain(3, 1)], [[1, 0], [0, 0], [0, 1]])
    module: Any = as_source_model(bag).module
    assert [member.gain.item() for member in module.models] == [1, 3]
    assert module.weights == [[1, 0], [0, 1]]


def test_what_is_left_of_a_bag_with_one_member_that_counts_is_that_member(two: Path, audio: Tensor) -> None:
    (two / "mine.yaml").write_text("models: ['deadbeef', 'cafebabe']\nweights: [[0., 0.], [2., 3.]]\n")
    module = load_model("mine", repo=two).module
    with torch.no_grad():
        assert torch.equal(module(audio), load_model("cafebabe", repo=two).module(audio))


def test_a_member_that_comes_twice_in_memory_runs_once() -> None:
    member, other = Gain(1), Gain(2)
    module: Any = as_source_model(BagOfModels([member, other, member])).module
    assert list(module.models) == [member, other]
    assert module.weights == [[2, 2], [1, 1]]


@pytest.mark.parametrize("weights", [None, [[3, 1], [1, 1]], [[1, 0], [0, 1]], [[1, 0], [1, 2]]])
@pytest.mark.parametrize("shape", [(2, 2, 4, 5, 6), (2, 2, 2, 2, 5, 6)], ids=["core", "openkara"])
def test_spectra_are_weighed_as_waveforms_are(shape: tuple[int, ...], weights: Any) -> None:
    bag = WeightedBag(BagOfModels([Gain(1), Gain(2)], weights))
    parts = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    numbers = torch.tensor(weights or [[1, 1], [1, 1]], dtype=torch.float32)
    columns = numbers.reshape(2, 1, 2, *(1 for _ in shape[2:])) / numbers.sum(0).reshape(
        2, *(1 for _ in shape[2:])
    )
    wanted = (torch.stack(parts) * columns).sum(0)
    torch.testing.assert_close(bag.combine(parts), wanted)


def written(model: Any, folder: Path, signature: str) -> None:
    """Save as ``tools/export.py`` of demucs does: ``serialize_model(half=True)``, ``save_with_checksum``.

    ``serialize_model`` itself needs omegaconf, for training arguments that play no part here.
    """
    args, kwargs = model._init_args_kwargs
    state = states.get_state(model, quantizer=None, half=True)
    content = {"klass": type(model), "args": args, "kwargs": kwargs, "state": state, "training_args": {}}
    states.save_with_checksum(content, folder / f"{signature}.th")


@pytest.mark.parametrize("weights", ["", "weights: [[1., 0.], [0.5, 2.]]"])
def test_a_bag_of_hybrid_and_time_domain_members(tmp_path: Path, weights: str) -> None:
    torch.manual_seed(0)
    options = {"channels": 8, "samplerate": 8000, "dconv_attn": 9, "dconv_lstm": 9}
    time_domain = Demucs(["drums", "vocals"], depth=2, normalize=False, **options)
    written(time_domain, tmp_path, "deadbeef")
    written(HDemucs(["drums", "vocals"], depth=4, nfft=256, **options), tmp_path, "cafebabe")
    # For a length that needs no padding upstream runs both members on the same samples.
    samples = time_domain.valid_length(1000)
    (tmp_path / "mixed.yaml").write_text(
        f"models: ['cafebabe', 'deadbeef']\n{weights}\nsegment: {samples / 8000}\n"
    )
    model = load_model("mixed", repo=tmp_path)
    assert model.segment == samples
    assert [type(member) for member in model.module.models] == [HDemucs, Demucs]  # type: ignore[union-attr]
    mix = torch.randn(1, 2, samples, generator=torch.Generator().manual_seed(0))
    wanted = apply_model(get_model("mixed", repo=tmp_path), mix, shifts=0, split=False)
    with torch.no_grad():
        torch.testing.assert_close(model.module(mix), wanted, rtol=1e-5, atol=1e-6)
