"""Attention as one operator of ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, rewrite
from onnx_demucs_compiler.targets import ORT
from onnx_demucs_rules.attention.examples import CrossAttention, SelfAttention
from onnx_demucs_rules.forms import attended

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.rules import NodeSite

ONE = {"MultiHeadAttention": 1, "Softmax": 0, "Transpose": 0}
SHAPE = ((2, 40, 32),)
APART = [0, 2, 1, 3]
APART_KEYS = [0, 2, 3, 1]

BESIDE = ("attention-as-matmul", "multihead-batch-first")


class Heads(NamedTuple):
    """Values of ``[B, T, H, D]``, and what their products are scaled by."""

    query: ir.Value
    key: ir.Value
    value: ir.Value
    scale: float


def attention(op: Any, queries: Any, keys: Any, values: Any, scale: Any) -> Any:
    """``[B, H, T, D]`` three times, the keys as ``[B, H, D, T]``, to ``[B, T, H, D]``."""
    scores = op.MatMul(op.Mul(queries, scale), keys)
    return op.Transpose(attended(op, scores, values), perm=APART)


def decide(site: NodeSite) -> Heads | Refusal:
    """A constant scale, and heads that come from ``[B, T, H, D]``."""
    scale = site.static("scale")
    if scale is None or scale.size != 1:
        return Refusal("the scale depends on the input")
    query, key, value = (
        _before(site[name], perm)
        for name, perm in (("queries", APART), ("keys", APART_KEYS), ("values", APART))
    )
    if query is None or key is None or value is None:
        return Refusal("the heads are not taken apart right before")
    return Heads(query, key, value, float(scale.item()))


@rewrite(
    attention,
    decide=decide,
    name="attention-as-one-operator",
    why="ONNX Runtime's own operator goes through keys and values in blocks that stay in the cache and never "
    "stores the scores of all queries and keys: 231 MB for the 2688 steps of HTDemucs.",
    numerics=Numerics(min_snr_db=120),
    targets={ORT},
    tags={"attention", "speed"},
    cases=[
        Case("self", SelfAttention, SHAPE, target="ort", beside=BESIDE, ops=ONE),
        Case("without-bias", lambda: SelfAttention(bias=False), SHAPE, target="ort", beside=BESIDE, ops=ONE),
        Case("open-batch", SelfAttention, SHAPE, target="ort", beside=BESIDE, ops=ONE,
             options={"batch": "dynamic"}),
        Case("mask", lambda: SelfAttention(masked=True), SHAPE, target="ort", beside=BESIDE, fires=0),
        Case("heads-first", lambda: CrossAttention(together=True), ((1, 4, 30, 8), (1, 4, 50, 8)),
             target="ort", beside=BESIDE, fires=0, because="not taken apart right before"),
    ],
)  # fmt: skip
def attention_as_one_operator(op: Any, _: NodeSite, heads: Heads) -> Any:
    """``softmax(s·Q Kᵀ) V``, heads taken apart and put together → ``com.microsoft.MultiHeadAttention``."""
    together = op.Constant(value_ints=[0, 0, -1])
    attended_to = op.MultiHeadAttention(
        *(op.Reshape(x, together) for x in (heads.query, heads.key, heads.value)),
        num_heads=_sizes(heads.query)[2],
        scale=heads.scale,
        _domain="com.microsoft",
        _version=1,
    )
    return op.Reshape(attended_to, op.Constant(value_ints=[0, 0, *_sizes(heads.value)[2:]]))


def _before(heads: ir.Value, perm: list[int]) -> ir.Value | None:
    """The value before a Transpose by ``perm`` of known heads and widths."""
    node = heads.producer()
    if node is None or node.op_type != "Transpose" or list(node.attributes["perm"].as_ints()) != perm:
        return None
    source = node.inputs[0]
    return source if source is not None and source.shape and len(_sizes(source)) == 4 else None


def _sizes(value: ir.Value) -> list[int]:
    """The shape, without what is open in its last two dimensions."""
    assert value.shape is not None, "the caller has looked"
    return [0, 0, *(size for size in value.shape[2:] if isinstance(size, int))]
