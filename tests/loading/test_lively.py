import os
import subprocess
import sys
from collections import OrderedDict

import pytest
import torch
from demucs.demucs import LocalState
from demucs.transformer import LayerScale, MyGroupNorm
from torch import Tensor, nn

from onnx_demucs_compiler.loading import from_module, make_lively


def values(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters()}


def assert_uniform(tensor: Tensor, low: float, high: float) -> None:
    assert low <= tensor.min() < low + 0.05 * (high - low)
    assert high - 0.05 * (high - low) < tensor.max() <= high
    assert tensor.mean().item() == pytest.approx((low + high) / 2, abs=0.05)


def assert_normal(tensor: Tensor, deviation: float) -> None:
    assert tensor.mean().item() == pytest.approx(0, abs=0.2 * deviation)
    assert tensor.std().item() == pytest.approx(deviation, rel=0.15)


def test_layer_scales_are_uniform() -> None:
    scale = LayerScale(1000, init=1e-4)
    make_lively(scale, 0)
    assert_uniform(scale.scale, 0.3, 0.7)


@pytest.mark.parametrize(
    "norm",
    [
        nn.GroupNorm(1, 1000),
        MyGroupNorm(1, 1000),
        nn.LayerNorm(1000),
        nn.BatchNorm1d(1000),
        nn.BatchNorm2d(1000),
        nn.InstanceNorm1d(1000, affine=True),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_norms_have_uniform_weights_and_normal_biases(norm: nn.Module) -> None:
    make_lively(norm, 0)
    drawn = values(norm)
    assert_uniform(drawn["weight"], 0.5, 1.5)
    assert_normal(drawn["bias"], 0.1)


@pytest.mark.parametrize(
    ("module", "biases"),
    [
        (nn.Linear(1, 1000), {"bias"}),
        (nn.ConvTranspose1d(1, 1000, 3), {"bias"}),
        (nn.MultiheadAttention(400, 1), {"in_proj_bias", "out_proj.bias"}),
        (
            nn.LSTM(1, 300, bidirectional=True),
            {f"bias_{x}_l0{r}" for x in ("ih", "hh") for r in ("", "_reverse")},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_biases_are_normal_and_other_weights_are_left_alone(
    module: nn.Module, biases: set[str]
) -> None:
    before = values(module)
    make_lively(module, 0)
    after = values(module)
    assert {name for name in after if not torch.equal(before[name], after[name])} == biases
    for name in biases:
        assert_normal(after[name], 0.05)


def test_decays_of_local_attention_differ_and_reach_far() -> None:
    attention = LocalState(200, heads=10, ndecay=20)
    before = values(attention)
    make_lively(attention, 0)
    after = values(attention)
    assert_normal(after["query_decay.weight"], 0.3)
    assert_normal(after["query_decay.bias"] + 2, 0.5)
    assert torch.equal(after["query.weight"], before["query.weight"])


def test_modules_without_affine_parameters_are_no_trouble() -> None:
    make_lively(nn.Sequential(nn.LayerNorm(4, elementwise_affine=False), nn.InstanceNorm1d(4), nn.GELU()), 0)


def test_a_scale_of_another_class_is_left_alone() -> None:
    class Gain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(8))

    gain = Gain()
    make_lively(gain, 0)
    assert torch.equal(gain.scale, torch.ones(8))


def test_parameters_of_one_shape_differ_and_so_do_seeds() -> None:
    module = nn.Sequential(nn.GroupNorm(1, 8), nn.GroupNorm(1, 8))
    make_lively(module, 0)
    drawn = values(module)
    assert not torch.equal(drawn["0.weight"], drawn["1.weight"])
    make_lively(module, 1)
    assert not torch.equal(drawn["0.weight"], values(module)["0.weight"])


def test_order_of_registration_does_not_matter() -> None:
    one = nn.Sequential(OrderedDict(a=nn.LayerNorm(8), b=nn.Linear(8, 8, bias=True)))
    two = nn.Sequential(OrderedDict(b=nn.Linear(8, 8, bias=True), a=nn.LayerNorm(8)))
    make_lively(one, 3)
    make_lively(two, 3)
    for name in ("a.weight", "a.bias", "b.bias"):
        assert torch.equal(values(one)[name], values(two)[name])


def test_global_random_state_is_neither_read_nor_changed() -> None:
    norm = nn.GroupNorm(1, 8)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    make_lively(norm, 0)
    assert torch.equal(torch.get_rng_state(), before)
    drawn = values(norm)
    torch.manual_seed(2)
    make_lively(norm, 0)
    assert torch.equal(values(norm)["weight"], drawn["weight"])


def test_gradients_and_identity_of_parameters_are_kept() -> None:
    norm = nn.GroupNorm(1, 8)
    weight = norm.weight
    make_lively(norm, 0)
    assert norm.weight is weight
    assert weight.requires_grad
    assert weight.is_leaf


_ELSEWHERE = """
import sys, torch
from torch import nn
from onnx_demucs_compiler.loading import from_module, make_lively
torch.set_num_threads(int(sys.argv[1]))
module = nn.Sequential(nn.GroupNorm(1, 100_000), nn.GroupNorm(1, 7))
make_lively(module, 5)
print(from_module(module).weights_digest())
"""


@pytest.mark.parametrize(("threads", "hash_seed"), [("1", "1"), ("2", "2")])
def test_another_process_draws_the_same(threads: str, hash_seed: str) -> None:
    module = nn.Sequential(nn.GroupNorm(1, 100_000), nn.GroupNorm(1, 7))
    make_lively(module, 5)
    elsewhere = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, threads],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == from_module(module).weights_digest()
