import hashlib
from collections import OrderedDict
from fractions import Fraction

import pytest
import torch
from torch import nn

from onnx_demucs_compiler.loading import SourceModel, from_module


class Separator(nn.Module):
    sources = ("left", "right")
    samplerate = 8000
    audio_channels = 2
    segment: Fraction | float = Fraction(1, 5)


def linear(*, weight: float = 1.0, bias: float = 2.0) -> nn.Module:
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(weight)
        layer.bias.fill_(bias)
    return layer


def digest(module: nn.Module) -> str:
    return from_module(module).weights_digest()


def test_reads_what_the_module_says_of_itself() -> None:
    module = Separator()
    assert from_module(module) == SourceModel(
        module=module,
        name="Separator",
        sources=("left", "right"),
        sample_rate=8000,
        audio_channels=2,
        segment=1600,
        provenance="a module in memory",
    )


def test_a_segment_of_broken_samples_is_cut_as_demucs_cuts_it() -> None:
    module = Separator()
    module.segment = 0.20009
    assert from_module(module).segment == 1600


def test_knows_nothing_of_a_module_that_says_nothing() -> None:
    model = from_module(nn.Conv1d(2, 2, 1), name="mine")
    assert (model.name, model.sources) == ("mine", ())
    assert (model.sample_rate, model.audio_channels, model.segment) == (None, None, None)


def test_a_segment_in_seconds_means_nothing_without_a_sample_rate() -> None:
    class Unrated(nn.Module):
        segment = 10.0

    assert from_module(Unrated()).segment is None


def test_example_input_decides_over_the_module() -> None:
    model = from_module(Separator(), example_input=torch.zeros(1, 1, 4096))
    assert (model.audio_channels, model.segment) == (1, 4096)


def test_example_input_of_another_rank_is_the_example() -> None:
    example = torch.zeros(2, 4096)
    assert from_module(Separator(), example_input=example).example() == (example,)


def test_module_is_left_as_it_is() -> None:
    assert from_module(nn.Sequential(nn.Dropout()).train()).module.training


def test_digest_is_over_name_dtype_shape_and_bytes_sorted_by_name() -> None:
    expected = hashlib.sha256(
        b"bias torch.float32 [1]\n\x00\x00\x00\x40" + b"weight torch.float32 [1, 1]\n\x00\x00\x80\x3f"
    )
    assert digest(linear()) == expected.hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        linear(weight=1.5),
        linear(weight=2.0, bias=1.0),
        linear().to(torch.float64),
        nn.Sequential(linear()),
        nn.Linear(1, 1, bias=False),
    ],
    ids=["value", "swapped", "dtype", "name", "missing"],
)
def test_digest_tells_weights_apart(other: nn.Module) -> None:
    assert digest(other) != digest(linear())


def test_digest_ignores_the_order_of_registration() -> None:
    one = nn.Sequential(OrderedDict(a=linear(), b=linear(weight=3.0)))
    two = nn.Sequential(OrderedDict(b=linear(weight=3.0), a=linear()))
    assert digest(one) == digest(two)


def test_digest_covers_buffers_scalars_and_every_dtype() -> None:
    norm = nn.BatchNorm1d(2)  # num_batches_tracked is an int64 scalar
    before = digest(norm)
    norm.get_buffer("num_batches_tracked").add_(1)
    assert digest(norm) != before
    assert digest(nn.Linear(2, 2, dtype=torch.bfloat16)) != digest(nn.Linear(2, 2, dtype=torch.complex64))
