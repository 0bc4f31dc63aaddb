"""The feed-forward part of a transformer, in blocks of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.rules import Case, Numerics, Refusal, rewrite
from onnx_demucs_compiler.targets import CPU_RUNTIMES
from onnx_demucs_rules.attention.blocks import block_sizes, in_blocks
from onnx_demucs_rules.attention.examples import FeedForward
from onnx_demucs_rules.forms import gelu

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

# What one block's hidden layer may take, and what is not worth cutting.
BLOCK_BYTES = 12 << 20

GELU = ("gelu-for-fusion",)


def feed_forward(op: Any, x: Any, w1: Any, b1: Any, w2: Any, b2: Any, root: Any, one: Any, half: Any) -> Any:
    """Two products and a GELU in the order of ``gelu-for-fusion``."""
    hidden = op.Add(op.MatMul(x, w1), b1, _outputs=["hidden"])
    numbers = {"root": root, "one": one, "half": half}
    return op.Add(op.MatMul(gelu(op, hidden, numbers.__getitem__), w2), b2)


def decide(site: NodeSite) -> list[int] | Refusal:
    """The steps of each block, for a large layer of known size."""
    sizes = block_sizes(site["hidden"], BLOCK_BYTES)
    if sizes is None:
        return Refusal("the number of steps is open")
    return sizes if len(sizes) > 1 else Refusal("the hidden layer is small")


@rewrite(
    feed_forward,
    decide=decide,
    name="feed-forward-in-blocks",
    why="Between its two products a layer of HTDemucs is four times as wide: 22 MB for its 2688 steps, and "
    "again for their GELU, which runtimes do not compute in place. The branch of time has half the steps, "
    "so that half the steps of the other branch need no buffers of their own. ONNX Runtime takes 1205 MB "
    "for htdemucs without it, 1072 with (default session, benchmarks/ablation.py).",
    numerics=Numerics(min_snr_db=125),
    targets=CPU_RUNTIMES,
    tags={"attention", "memory"},
    cases=[
        Case("two-blocks", lambda: FeedForward(64, 2048), ((1, 2688, 64),), beside=GELU,
             ops={"Split": 1, "Concat": 1}),
        Case("ragged", lambda: FeedForward(8, 2048), ((2, 1601, 8),), beside=GELU,
             ops={"Split": 1}),
        Case("small", lambda: FeedForward(8, 32), ((1, 30, 8),), beside=GELU, fires=0,
             because="hidden layer is small"),
    ],
)  # fmt: skip
def feed_forward_in_blocks(op: Any, site: NodeSite, sizes: list[int]) -> Any:
    """``gelu(x W1 + b1) W2 + b2`` → the same for each block of steps, put together."""
    blocks = in_blocks(op, site["x"], sizes)
    wide = [op.Add(op.MatMul(block, site["w1"]), site["b1"]) for block in blocks]
    narrow = [op.Add(op.MatMul(gelu(op, block, site.__getitem__), site["w2"]), site["b2"]) for block in wide]
    return op.Concat(*narrow, axis=-2)
