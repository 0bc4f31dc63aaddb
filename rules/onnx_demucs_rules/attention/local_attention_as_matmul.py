"""demucs' LocalState as matrix products and one table of distances."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from onnx_demucs_compiler.rules import Case, Numerics, Patch, Refusal, substitute
from onnx_demucs_rules.attention.examples import local_state
from onnx_demucs_rules.demucs_layers import layers_of

if TYPE_CHECKING:
    from torch import Tensor


@substitute(
    name="local-attention-as-matmul",
    why="demucs' LocalState makes four tables of T by T numbers, one for each speed of decay, and a mask of "
    "that size: 70 MB of constants for 44 seconds, and Einsum, which not every runtime has.",
    numerics=Numerics(min_snr_db=120),
    tags={"attention"},
    cases=[
        Case("decay", local_state, ((2, 8, 45),), ops={"Einsum": 0, "MatMul": 2, "Softmax": 1}),
        Case("tables-are-computed", local_state, ((1, 8, 601),), ops={"Einsum": 0, "Sub": 2, "Abs": 1}),
        Case("no-decay", lambda: local_state(ndecay=0), ((2, 8, 45),), ops={"Einsum": 0, "Sub": 0}),
        Case("one-head", lambda: local_state(heads=1, ndecay=3), ((2, 8, 45),), ops={"Einsum": 0}),
        Case("one-step", local_state, ((2, 8, 1),)),
        Case("open-batch", local_state, ((2, 8, 45),), options={"batch": "dynamic"}),
        Case("open-length", local_state, ((2, 8, 45),), options={"length": "dynamic"}),
        Case("frequencies", lambda: local_state(nfreqs=3), ((2, 8, 45),), fires=0,
             because="looks for periods"),
        Case("not-demucs", lambda: nn.Conv1d(2, 2, 3), ((1, 2, 100),), fires=0),
    ],
)  # fmt: skip
def local_attention_as_matmul(module: nn.Module) -> list[Patch] | Refusal:
    """``Σ_f −f·|t−s|·q_f`` for four ``f`` → ``−|t−s|·(Σ_f f·q_f)``; ``einsum`` → ``@``."""
    layers = layers_of(module, "LocalState")
    plain = [layer for layer in layers if not layer.nfreqs]
    if layers and not plain:
        return Refusal("the model's LocalState looks for periods too (nfreqs)")
    return [Patch(layer, "forward", functools.partial(_forward, layer)) for layer in plain]


def _forward(layer: Any, x: Tensor) -> Tensor:
    """``[B, C, T]`` to the same, as ``LocalState.forward`` of demucs."""
    steps = torch.arange(x.shape[-1], dtype=torch.int32)
    offsets = steps[:, None] - steps
    queries, keys, content = (
        conv(x).unflatten(1, (layer.heads, -1)) for conv in (layer.query, layer.key, layer.content)
    )
    scores = (queries * keys.shape[2] ** -0.5).transpose(2, 3) @ keys
    if layer.ndecay:
        scores = scores - _slope(layer, x)[..., None] * offsets.abs().to(x.dtype)
    weights = torch.softmax(scores.masked_fill(offsets == 0, -100.0), dim=-1)
    attended = (weights @ content.transpose(2, 3)).transpose(2, 3).flatten(1, 2)
    output: Tensor = x + layer.proj(attended)
    return output


def _slope(layer: Any, x: Tensor) -> Tensor:
    """The decrease of each query's scores per step away, ``[B, heads, T]``."""
    speeds = torch.arange(1, layer.ndecay + 1, dtype=x.dtype) / (2 * layer.ndecay**0.5)
    decays = torch.sigmoid(layer.query_decay(x)).unflatten(1, (layer.heads, -1))
    slope: Tensor = (decays * speeds[:, None]).sum(2)
    return slope
