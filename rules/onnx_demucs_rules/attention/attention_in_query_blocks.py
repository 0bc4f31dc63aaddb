"""Attention for some of the queries at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, rewrite
from onnx_demucs_compiler.targets import CPU_RUNTIMES
from onnx_demucs_rules.attention.blocks import (
    LEAST_SCORES_BYTES,
    SCORES_BYTES,
    attention,
    block_sizes,
    in_blocks,
)
from onnx_demucs_rules.attention.examples import CrossAttention, SelfAttention
from onnx_demucs_rules.forms import attended
from onnx_demucs_rules.known import elements

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

ATTENTION = ("attention-as-matmul",)


def decide(site: NodeSite) -> list[int] | Refusal:
    """The queries of each block, for large scores of known size."""
    sizes = block_sizes(site["scores"], SCORES_BYTES)
    if sizes is None:
        return Refusal("the number of queries and keys is open")
    small = 4 * elements(site["scores"]) < LEAST_SCORES_BYTES
    return Refusal("the scores are small") if small else sizes


@rewrite(
    attention,
    decide=decide,
    name="attention-in-query-blocks",
    why="The scores of all queries and keys and their softmax are by far the largest tensors of HTDemucs, "
    "231 MB each for its 2688 steps, while everything else needs 150 MB. ONNX Runtime takes 2034 MB for "
    "htdemucs without it, 1072 with (default session, benchmarks/ablation.py).",
    numerics=Numerics(min_snr_db=130),
    targets=CPU_RUNTIMES,
    tags={"attention", "memory"},
    after=["attention-as-one-operator", "attention-in-batches"],
    cases=[
        Case("self", lambda: SelfAttention(channels=4, heads=2), ((1, 2100, 4),), beside=ATTENTION,
             ops={"Softmax": 5}),
        Case("ragged", lambda: CrossAttention(), ((1, 1, 2402, 2), (1, 1, 3501, 2)), beside=ATTENTION,
             ops={"Softmax": 5}),
        Case("small", lambda: SelfAttention(channels=4, heads=2), ((1, 1400, 4),), fires=0, beside=ATTENTION,
             because="are small"),
    ],
)  # fmt: skip
def attention_in_query_blocks(op: Any, site: NodeSite, sizes: list[int]) -> Any:
    """``softmax(Q K) V`` → ``concat(softmax(Q1 K) V, softmax(Q2 K) V, …)``."""
    scores = (op.MatMul(block, site["key"]) for block in in_blocks(op, site["query"], sizes))
    return op.Concat(*(attended(op, each, site["value"]) for each in scores), axis=-2)
