import pytest
import torch
from emit_examples import Emit
from torch import nn

from onnx_demucs_compiler import compile
from onnx_demucs_compiler.artifact.emitted import EmittedModel
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_rules.examples import small_htdemucs


@pytest.fixture(scope="session")
def htdemucs() -> nn.Module:
    """A small HTDemucs with lively weights, and attention of both kinds. Tests must leave it as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = small_htdemucs(dconv_comp=2, t_layers=2)
    make_lively(module, 0)
    return module


@pytest.fixture(scope="session")
def emitted(htdemucs: nn.Module) -> Emit:
    """It in a format, each made once."""
    made: dict[str, EmittedModel] = {}

    def emit(name: str) -> EmittedModel:
        if name not in made:
            made[name] = compile(htdemucs, emit=name)
        return made[name]

    return emit
