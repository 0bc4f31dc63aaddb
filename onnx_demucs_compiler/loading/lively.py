"""Lively weights: random, and loud enough in every branch to be tested.

A freshly built Demucs scales its residual branches by 1e-4 to 1e-3, its norms and biases start at ones and
zeros, and what its local attention sees decays with distance alone: whole branches could be compiled wrongly
and a parity test would still pass.
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

Draw = Callable[[Tensor, torch.Generator], object]

_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


def make_lively(module: nn.Module, seed: int) -> None:
    """Redraw the layer scales, norms and biases of ``module`` in place.

    Other weights are left alone.

    Layer scales (the ``scale`` of a class named LayerScale) are uniform in [0.3, 0.7], the weights of
    norms uniform in [0.5, 1.5] and their biases normal(0, 0.1), every other bias normal(0, 0.05). The decays
    of a local attention (the layer ``query_decay``) have weights normal(0, 0.3) and biases normal(-2, 0.5),
    so that they differ and reach far.

    A value depends on the seed and on its parameter's name and shape, and on nothing else: neither the
    global random state, which is untouched, nor the order in which submodules were registered.

    Args:
        module: Any torch module.
        seed: Any whole number.
    """
    for prefix, submodule in module.named_modules():
        for name, parameter in submodule.named_parameters(recurse=False):
            draw = _draw_for(submodule, prefix.rpartition(".")[2], name)
            if draw is not None:
                _redraw(parameter, draw, f"{seed}:{prefix}.{name}")


def _draw_for(module: nn.Module, layer: str, name: str) -> Draw | None:
    if layer == "query_decay":
        return _normal(0.3) if name == "weight" else _normal(0.5, mean=-2.0)
    if type(module).__name__ == "LayerScale" and name == "scale":
        return _uniform(0.3, 0.7)
    if isinstance(module, _NORMS) and name == "weight":
        return _uniform(0.5, 1.5)
    if isinstance(module, _NORMS) and name == "bias":
        return _normal(0.1)
    if name in ("bias", "in_proj_bias") or name.startswith("bias_"):
        return _normal(0.05)
    return None


def _uniform(low: float, high: float) -> Draw:
    return lambda tensor, generator: tensor.uniform_(low, high, generator=generator)


def _normal(deviation: float, mean: float = 0.0) -> Draw:
    return lambda tensor, generator: tensor.normal_(mean, deviation, generator=generator)


def _redraw(parameter: nn.Parameter, draw: Draw, key: str) -> None:
    generator = torch.Generator().manual_seed(_seed_of(key))
    values = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
    draw(values, generator)
    with torch.no_grad():
        parameter.copy_(values)


def _seed_of(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
