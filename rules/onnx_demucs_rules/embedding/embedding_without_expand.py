"""An embedding added without a copy for every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_demucs_compiler.rules import EXACT, Case, Refusal, rewrite
from onnx_demucs_rules.embedding.examples import Embedded

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

IMAGE = ((1, 8, 6, 20),)


def scaled_expand(op: Any, x: Any, embedding: Any, scale: Any) -> Any:
    """An Add of a scaled Expand."""
    repeated = op.Expand(embedding, _allow_other_inputs=True, _outputs=["repeated"])
    return op.Add(x, op.Mul(repeated, scale))


def decide(site: NodeSite) -> Refusal | None:
    """Refuse if Add or Mul gets its shape from the Expand."""
    if site.shape("scale") != ():
        return Refusal("the scale is not a single number")
    if site.shape("x") is None or site["x"].shape != site["repeated"].shape:
        return Refusal("the sum takes its shape from what is expanded")
    return None


@rewrite(
    scaled_expand,
    decide=decide,
    name="embedding-without-expand",
    why="HTDemucs repeats its embedding of the frequencies for every frame before it adds it. Runtimes fold "
    "that when they load the graph, and hold 33 MB for what 0.1 MB says.",
    numerics=EXACT,
    tags={"embedding", "memory"},
    cases=[
        Case("frequencies", Embedded, IMAGE, ops={"Expand": 0}),
        Case("open-batch", Embedded, ((2, 8, 6, 20),), ops={"Expand": 0}, options={"batch": "dynamic"}),
        Case("sum-is-repeated", lambda: Embedded(narrow=True), IMAGE, fires=0, because="takes its shape"),
        Case("scale-of-each-channel", lambda: Embedded(scale=(0.1,) * 8), IMAGE, fires=0,
             because="not a single number"),
    ],
)  # fmt: skip
def embedding_without_expand(op: Any, site: NodeSite, _: None) -> Any:
    """``x + s · expand(e)`` → ``x + s · e``, where ``x`` is as large as what was expanded."""
    return op.Add(site["x"], op.Mul(site["embedding"], site["scale"]))
