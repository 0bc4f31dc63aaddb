"""Lively weights: random, and loud enough in every branch to be tested.

Norms and biases start at ones and zeros, and families have layers that start all but silent: whole branches
could be compiled wrongly and a parity test would still pass.
"""

import hashlib
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

Draw = Callable[[Tensor, torch.Generator], object]
DrawFor = Callable[[nn.Module, str, str], Draw | None]
"""From a module, the last part of its path, and a parameter's name."""

Built = TypeVar("Built", bound=nn.Module)

_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


def built_lively(build: Callable[[], Built], seed: int, *of_families: DrawFor) -> Built:
    """Build a module with seeded weights, and redraw it (:func:`redraw`).

    The global random state is left as it was.
    """
    # Only the CPU generator: torch.manual_seed would reseed every accelerator too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = build()
    redraw(module, seed, *of_families)
    return module


def redraw(module: nn.Module, seed: int, *of_families: DrawFor) -> None:
    """Redraw parameters of ``module`` in place.

    The weights of norms are uniform in [0.5, 1.5] and their biases normal(0, 0.1), every other bias
    normal(0, 0.05).

    Args:
        module: Any torch module.
        seed: Any whole number.
        of_families: Asked first for the draw of a parameter.
    """
    for prefix, submodule in module.named_modules():
        layer = prefix.rpartition(".")[2]
        for name, parameter in submodule.named_parameters(recurse=False):
            draws = (draw_for(submodule, layer, name) for draw_for in (*of_families, _usual))
            if draw := next(filter(None, draws), None):
                _redraw(parameter, draw, f"{seed}:{prefix}.{name}")


def _usual(module: nn.Module, _: str, name: str) -> Draw | None:
    if isinstance(module, _NORMS) and name == "weight":
        return uniform(0.5, 1.5)
    if isinstance(module, _NORMS) and name == "bias":
        return normal(0.1)
    if name in ("bias", "in_proj_bias") or name.startswith("bias_"):
        return normal(0.05)
    return None


def uniform(low: float, high: float) -> Draw:
    """Draws between two numbers."""
    return lambda tensor, generator: tensor.uniform_(low, high, generator=generator)


def normal(deviation: float, mean: float = 0.0) -> Draw:
    """Draws of a normal distribution."""
    return lambda tensor, generator: tensor.normal_(mean, deviation, generator=generator)


def _redraw(parameter: nn.Parameter, draw: Draw, key: str) -> None:
    generator = torch.Generator().manual_seed(_seed_of(key))
    values = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
    draw(values, generator)
    with torch.no_grad():
        parameter.copy_(values)


def _seed_of(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
