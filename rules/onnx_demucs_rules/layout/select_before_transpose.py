"""Selecting before transposing, so that less is transposed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from onnx_demucs_compiler.rules import EXACT, Case, Refusal, rewrite
from onnx_demucs_rules.layout.examples import Selected

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite


class Selection(NamedTuple):
    """The axis to select on first, and the order of the others."""

    axis: int
    perm: list[int]


def transposed_selection(op: Any, x: Any, index: Any) -> Any:
    """A Gather of a Transpose."""
    return op.Gather(op.Transpose(x, _outputs=["transposed"]), index)


def decide(site: NodeSite) -> Selection | Refusal:
    """One index, and nobody else wants the transposed tensor whole."""
    index = site.static("index")
    if index is None or index.ndim > 0:
        return Refusal("takes more than one index")
    if any(use.node.op_type != "Gather" for use in site["transposed"].uses()):
        return Refusal("the transposed tensor is needed whole")
    perm = site.maker("transposed").attributes["perm"].as_ints()
    axis = perm[site.node.attributes.get_int("axis", 0)]
    return Selection(axis, [source - (source > axis) for source in perm if source != axis])


@rewrite(
    transposed_selection,
    decide=decide,
    shared=True,
    name="select-before-transpose",
    why="view_as_complex takes the two halves of a tensor that demucs has just transposed to interleave "
    "them: a strided copy of everything, then a strided copy of each half.",
    numerics=EXACT,
    tags={"layout"},
    cases=[
        Case("halves-interleaved", Selected, ((2, 3, 2, 4, 5),), fires=2, ops={"Transpose": 0, "Gather": 2}),
        Case("still-transposed", lambda: Selected(perm=(0, 1, 4, 3, 2)), ((2, 3, 2, 4, 5),), fires=2,
             ops={"Transpose": 2}),
        Case("several-indices", lambda: Selected(indices=(0, 1)), ((2, 3, 2, 4, 5),), fires=0,
             because="takes more than one index"),
        Case("transpose-used-elsewhere", lambda: Selected(keep=True), ((2, 3, 2, 4, 5),), fires=0,
             because="transposed tensor is needed whole"),
    ],
)  # fmt: skip
def select_before_transpose(op: Any, site: NodeSite, selection: Selection) -> Any:
    """``Gather(Transpose(x, perm), i, axis)`` → ``Transpose(Gather(x, i, perm[axis]), perm')``."""
    chosen = op.Gather(site["x"], site["index"], axis=selection.axis)
    perm = selection.perm
    return chosen if perm == sorted(perm) else op.Transpose(chosen, perm=perm)
