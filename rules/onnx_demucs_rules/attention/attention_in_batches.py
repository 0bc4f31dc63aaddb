"""Attention for some entries of a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.rules import Case, NotMine, Numerics, Refusal, rewrite
from onnx_demucs_compiler.targets import CPU_RUNTIMES
from onnx_demucs_rules.attention.blocks import (
    LEAST_SCORES_BYTES,
    SCORES_BYTES,
    attention,
    block_sizes,
    in_blocks,
)
from onnx_demucs_rules.attention.examples import CrossAttention
from onnx_demucs_rules.forms import attended
from onnx_demucs_rules.known import elements, shape_of

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

BESIDE = ("attention-as-matmul",)

TOKENS = ((5, 2, 1000, 2), (5, 2, 900, 2))


def decide(site: NodeSite) -> list[int] | Refusal | NotMine:
    """The entries of each block, for large scores of known size."""
    shape = site.shape("scores") or (1,)
    if len(shape) < 3 or shape[0] == 1:
        return NotMine()
    sizes = block_sizes(site["scores"], SCORES_BYTES, axis=0)
    if sizes is None:
        return Refusal("the number of entries, queries or keys is open")
    if 4 * elements(site["scores"]) < LEAST_SCORES_BYTES:
        return Refusal("the scores are small")
    alike = all(shape_of(site[name])[:1] == shape[:1] for name in ("query", "key", "value"))
    return sizes if alike else Refusal("entries of the batch share keys or values")


@rewrite(
    attention,
    decide=decide,
    name="attention-in-batches",
    why="RoFormers attend along time in each of 62 bands: 1.3 GB of scores in eight seconds, of which blocks "
    "of queries would be five queries of all bands. Blocks of bands take a third of the time "
    "(benchmarks/forms_in_ort.py).",
    numerics=Numerics(min_snr_db=120),
    targets=CPU_RUNTIMES,
    tags={"attention", "memory", "speed"},
    after=["attention-as-one-operator"],
    cases=[
        Case("bands", CrossAttention, TOKENS, beside=BESIDE, ops={"Softmax": 5}),
        Case("one-entry", CrossAttention, ((1, 2, 2500, 2), (1, 2, 2000, 2)), fires=0, beside=BESIDE),
        Case("small", CrossAttention, ((5, 2, 90, 2), (5, 2, 70, 2)), fires=0, beside=BESIDE,
             because="are small"),
        Case("shared-keys", lambda: CrossAttention(shared=True), TOKENS, fires=0, beside=BESIDE,
             because="share keys"),
        Case("open-batch", CrossAttention, TOKENS, fires=0, beside=BESIDE, because="is open",
             options={"batch": "dynamic"}),
    ],
)  # fmt: skip
def attention_in_batches(op: Any, site: NodeSite, sizes: list[int]) -> Any:
    """``softmax(Q K) V`` → ``concat(softmax(Q[:n] K[:n]) V[:n], …)``, along the batch."""
    names = ("query", "key", "value")
    blocks = zip(*(in_blocks(op, site[name], sizes, axis=0) for name in names), strict=True)
    return op.Concat(*(attended(op, op.MatMul(q, k), v) for q, k, v in blocks), axis=0)
