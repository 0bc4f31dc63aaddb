from typing import Any

import pytest
import torch
from demucs.apply import BagOfModels
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from torch import nn

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading import as_source_model
from onnx_demucs_compiler.loading.families.demucs.length import hop_of, set_length

STEMS = ["drums", "bass", "other", "vocals"]


def time_domain(**options: Any) -> nn.Module:
    module: nn.Module = Demucs(STEMS, channels=4, depth=2, segment=1, samplerate=8000, **options)
    return module.eval()


def hybrid() -> nn.Module:
    module: nn.Module = HDemucs(STEMS, channels=8, nfft=256, depth=4, segment=1, samplerate=8000)
    return module.eval()


@pytest.mark.parametrize(
    ("build", "hop"),
    [
        (lambda: HTDemucs(STEMS), 1024),
        (lambda: HTDemucs(STEMS, nfft=2048), 512),
        (lambda: HTDemucs(STEMS, nfft=512), 256),
        (lambda: HDemucs(STEMS), 2048),
        (lambda: HDemucs(STEMS, cac=False, multi_freqs=[0.1, 0.3]), 2048),
        (lambda: HDemucs(STEMS, hybrid=False), 2048),
        (lambda: Demucs(STEMS), 1),
        (lambda: BagOfModels([Demucs(STEMS), HDemucs(STEMS)]), 2048),
        (lambda: nn.Conv1d(2, 2, 3), 1),
    ],
)
def test_hop(build: Any, hop: int) -> None:
    with torch.device("meta"):
        assert hop_of(build()) == hop


@pytest.mark.parametrize("resample", [True, False])
def test_a_time_domain_model_takes_any_length(resample: bool) -> None:
    model = time_domain(resample=resample)
    for length in (2, 3, 997, 1000):
        source = set_length(as_source_model(model), length)
        assert source.segment == length
        with torch.no_grad():
            stems = model(*source.example())
        assert stems.shape == (1, 4, 2, length)
        assert stems.isfinite().all()


@pytest.mark.parametrize("name", ["Demucs", "bag"])
def test_the_length_of_a_time_domain_model_cannot_stay_open(name: str) -> None:
    model = time_domain() if name == "Demucs" else BagOfModels([hybrid(), time_domain()])
    with pytest.raises(UsageError, match="works in the time domain .* give length as a number"):
        set_length(as_source_model(model), "dynamic")


def test_a_bag_takes_multiples_of_the_hop_of_all_members() -> None:
    bag = as_source_model(BagOfModels([hybrid(), time_domain()]))
    assert set_length(bag, 1280).segment == 1280
    with pytest.raises(UsageError, match="not a multiple of the hop of BagOfModels, 128 samples"):
        set_length(bag, 1000)
