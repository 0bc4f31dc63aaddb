"""Families of models: which one a module is of, and modules of none."""

import pytest
import torch
from demucs.htdemucs import HTDemucs
from torch import Tensor, nn

from onnx_demucs_compiler.errors import UsageError
from onnx_demucs_compiler.loading import family_of, from_module


class Alike(nn.Module):
    """The names of demucs' methods and attributes, and nothing else of it."""

    cac, hybrid, nfft, hop_length, use_train_segment = True, True, 64, 16, True

    def _spec(self, x: Tensor) -> Tensor:
        return x

    _magnitude = _mask = _ispec = _spec


@pytest.mark.parametrize("module", [Alike(), nn.Sequential(nn.Conv1d(1, 1, 3))])
def test_a_module_of_no_family(module: nn.Module) -> None:
    family = family_of(module)
    assert family.name == "any module"
    assert family.hop(module) == 1
    assert family.one_module(module, "it") is module
    assert family.differing_segments(module, 64) == ""
    with pytest.raises(UsageError, match="has no spectrogram branch to leave to the host"):
        family.cuts(module)


def test_a_module_that_holds_a_demucs() -> None:
    with torch.device("meta"):
        held = nn.Sequential(HTDemucs(["drums", "rest"]))
    assert family_of(held).name == "demucs"


@pytest.mark.parametrize("samples", [3, 8, 21])
def test_another_length_of_what_is_as_long_as_the_first_input(samples: int) -> None:
    mono, speaker = torch.arange(8.0)[None], torch.zeros(1, 3)
    source = from_module(Alike(), example_input=(mono, speaker))
    given, beside = family_of(source.module).at_length(source, samples).example()
    assert torch.equal(given[0], torch.arange(samples) % 8)
    assert beside is speaker
    assert source.module.use_train_segment
