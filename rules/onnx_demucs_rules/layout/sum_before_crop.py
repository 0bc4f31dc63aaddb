"""Adding before cropping, so that the sum is no copy of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRuleClassBase

from onnx_demucs_compiler.rule import EXACT, Case, rewrite
from onnx_demucs_rules.embedding.examples import Embedded
from onnx_demucs_rules.known import constant, shape_of

if TYPE_CHECKING:
    import onnx_ir as ir

BESIDE = ("embedding-not-repeated",)
IMAGE = ((1, 8, 7, 20),)


@rewrite(
    name="sum-before-crop",
    why="The widest skip of HTDemucs is cropped and then takes an embedding: two buffers of 33 MB in the "
    "shape of a decoder, of which one is held until that decoder runs.",
    numerics=EXACT,
    tags={"layout", "speed"},
    after=["embedding-not-repeated"],
    cases=[
        Case("last-row", lambda: Embedded(crop=1), IMAGE, ops={"Slice": 1, "Pad": 1}, beside=BESIDE),
        Case("open-batch", lambda: Embedded(crop=1), ((2, 8, 7, 20),), beside=BESIDE,
             options={"batch": "dynamic"}),
        Case("half", lambda: Embedded(crop=6), ((1, 8, 12, 20),), fires=0, beside=BESIDE,
             because="more than a few rows"),
        Case("cropped-needed-elsewhere", lambda: Embedded(crop=1, whole=True), IMAGE, fires=0, beside=BESIDE,
             because="needed elsewhere"),
        Case("depends-on-the-input", lambda: Embedded(crop=1, moving=True), IMAGE, fires=0, beside=BESIDE,
             because="depends on the input"),
    ],
)  # fmt: skip
class SumBeforeCrop(RewriteRuleClassBase):  # type: ignore[misc]
    """``x[:, :, :n] + c`` → ``(x + pad(c))[:, :, :n]``, for a ``c`` that is known without the input."""

    def __init__(self) -> None:
        """Keep the matched nodes: what is cropped may be needed elsewhere, which is a reason to refuse."""
        super().__init__(remove_nodes=False)

    def pattern(
        self, op: Any, x: ir.Value, starts: ir.Value, ends: ir.Value, axes: ir.Value, c: ir.Value
    ) -> Any:
        """An Add to a Slice."""
        cropped = op.Slice(x, starts, ends, axes, _allow_other_inputs=True, _outputs=["cropped"])
        return op.Add(cropped, c)

    def check(self, _: Any, x: ir.Value, cropped: ir.Value, c: ir.Value, **__: Any) -> MatchResult:
        """A crop of a few rows that nobody else wants, and a summand that a runtime folds."""
        result = MatchResult()
        if len(cropped.uses()) > 1:
            return result.fail("what is cropped is needed elsewhere")
        if not _known_beforehand(c):
            return result.fail("the summand depends on the input")
        crop = _crop(x, cropped)
        if crop is None or len(shape_of(c)) != len(shape_of(x)):
            return result.fail("not the end of one axis is cropped, or of unknown size")
        if 4 * crop.dropped > crop.size:
            return result.fail("more than a few rows are cropped")
        return result

    def rewrite(self, op: Any, x: ir.Value, cropped: ir.Value, c: ir.Value, **_: Any) -> ir.Value:
        """The sum of what is not cropped yet."""
        crop, slicing = _crop(x, cropped), cropped.producer()
        assert crop is not None, "the check has looked"
        assert slicing is not None, "the pattern matched a Slice"
        sizes = shape_of(c)
        if sizes[crop.axis] != 1:
            after = [crop.dropped if axis == crop.axis else 0 for axis in range(len(sizes))]
            c = op.Pad(c, op.Constant(value_ints=[0] * len(sizes) + after))
        total: ir.Value = op.Slice(op.Add(x, c), *slicing.inputs[1:])
        return total


class _Crop(NamedTuple):
    """The axis of a tensor that loses its end, its size, and how much of it is dropped."""

    axis: int
    size: int
    dropped: int


def _crop(x: ir.Value, cropped: ir.Value) -> _Crop | None:
    node = cropped.producer()
    assert node is not None, "the pattern matched a Slice"
    starts, axes, steps = (constant(node, index) for index in (1, 3, 4))
    if starts != [0] or axes is None or len(axes) != 1 or (len(node.inputs) > 4 and steps != [1]):
        return None
    before, after = shape_of(x), shape_of(cropped)
    size, left = (sizes[axes[0]] if sizes else None for sizes in (before, after))
    if not isinstance(size, int) or not isinstance(left, int):
        return None
    return _Crop(axes[0] % len(before), size, size - left)


def _known_beforehand(value: ir.Value | None) -> bool:
    """Whether a value depends on weights and constants alone."""
    node = value.producer() if value is not None else None
    if node is None:
        return value is None or value.const_value is not None
    return all(map(_known_beforehand, node.inputs))
