import pytest
import torch
from torch import nn

from onnx_demucs_compiler import CompiledModel, compile
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_rules.examples import small_htdemucs


def lively_htdemucs() -> nn.Module:
    """With four channels or more in every branch: a norm over one channel would swallow its bias."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = small_htdemucs(dconv_comp=2)
    make_lively(module, 0)
    return module


@pytest.fixture(scope="session")
def htdemucs() -> nn.Module:
    """A small HTDemucs with lively weights. Tests must leave it as it is."""
    return lively_htdemucs()


@pytest.fixture(scope="session")
def compiled(htdemucs: nn.Module) -> CompiledModel:
    """It, compiled with the default rules."""
    return compile(htdemucs)
