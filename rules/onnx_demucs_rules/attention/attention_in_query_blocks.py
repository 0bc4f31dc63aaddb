"""Attention for some of the queries at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, rewrite
from onnx_demucs_compiler.targets import CPU_RUNTIMES
from onnx_demucs_rules.attention.blocks import block_sizes, in_blocks
from onnx_demucs_rules.attention.examples import CrossAttention, SelfAttention
from onnx_demucs_rules.forms import attended

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

# The scores of one block, and what is not worth cutting.
BLOCK_BYTES = 8 << 20

ATTENTION = ("attention-as-matmul",)


def attention(op: Any, query: Any, key: Any, value: Any) -> Any:
    """Two products with a softmax between them."""
    return attended(op, op.MatMul(query, key, _outputs=["scores"]), value)


def decide(site: NodeSite) -> list[int] | Refusal:
    """The queries of each block, for large scores of known size."""
    sizes = block_sizes(site["scores"], BLOCK_BYTES)
    if sizes is None:
        return Refusal("the number of queries and keys is open")
    return sizes if len(sizes) > 1 else Refusal("the scores are small")


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
    after=["attention-as-one-operator"],
    cases=[
        Case("self", lambda: SelfAttention(channels=4, heads=2), ((1, 1400, 4),), beside=ATTENTION,
             ops={"Softmax": 2}),
        Case("ragged", lambda: CrossAttention(), ((1, 1, 1402, 2), (1, 1, 3501, 2)), beside=ATTENTION,
             ops={"Softmax": 3}),
        Case("small", lambda: SelfAttention(channels=4, heads=2), ((1, 250, 4),), fires=0, beside=ATTENTION,
             because="are small"),
    ],
)  # fmt: skip
def attention_in_query_blocks(op: Any, site: NodeSite, sizes: list[int]) -> Any:
    """``softmax(Q K) V`` → ``concat(softmax(Q1 K) V, softmax(Q2 K) V, …)``."""
    scores = (op.MatMul(block, site["key"]) for block in in_blocks(op, site["query"], sizes))
    return op.Concat(*(attended(op, each, site["value"]) for each in scores), axis=-2)
