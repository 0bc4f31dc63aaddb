"""Selecting before transposing, so that less is transposed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRuleClassBase

from onnx_demucs_compiler.rule import EXACT, Case, rewrite
from onnx_demucs_rules.layout.examples import Selected

if TYPE_CHECKING:
    import onnx_ir as ir


@rewrite(
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
class SelectBeforeTranspose(RewriteRuleClassBase):  # type: ignore[misc]
    """``Gather(Transpose(x, perm), i, axis)`` → ``Transpose(Gather(x, i, perm[axis]), perm')``."""

    def __init__(self) -> None:
        """Keep the matched nodes: the other half is selected from the same Transpose."""
        super().__init__(remove_nodes=False)

    def pattern(self, op: Any, x: ir.Value, index: ir.Value) -> Any:
        """A Gather of a Transpose."""
        return op.Gather(op.Transpose(x, _outputs=["transposed"]), index, _outputs=["selected"])

    def check(self, _: Any, transposed: ir.Value, index: ir.Value, **__: Any) -> MatchResult:
        """One index, and nobody else wants the transposed tensor whole."""
        result = MatchResult()
        if index.const_value is None or index.const_value.size != 1 or len(index.const_value.shape) > 0:
            return result.fail("takes more than one index")
        if any(use.node.op_type != "Gather" for use in transposed.uses()):
            return result.fail("the transposed tensor is needed whole")
        return result

    def rewrite(
        self, op: Any, x: ir.Value, index: ir.Value, transposed: ir.Value, selected: ir.Value
    ) -> ir.Value:
        """Select on the axis the index came from, then permute what is left."""
        transpose, gather = transposed.producer(), selected.producer()
        assert transpose is not None, "the pattern matched a Transpose"
        assert gather is not None, "the pattern matched a Gather"
        perm = transpose.attributes["perm"].as_ints()
        axis = perm[gather.attributes.get_int("axis", 0)]
        chosen: ir.Value = op.Gather(x, index, axis=axis)
        left = [source - (source > axis) for source in perm if source != axis]
        if left != sorted(left):
            chosen = op.Transpose(chosen, perm=left)
        return chosen
