"""Addition before cropping, so that the sum needs no second copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, Refusal, rewrite
from onnx_demucs_compiler.targets import CPU_RUNTIMES
from onnx_demucs_rules.embedding.examples import Embedded
from onnx_demucs_rules.known import constant, known_beforehand, shape_of
from onnx_demucs_rules.layout.examples import CROPPED

if TYPE_CHECKING:
    from onnx_demucs_compiler.rules import NodeSite

BESIDE = ("embedding-without-expand",)
IMAGE = ((1, 8, 7, 20),)


class Crop(NamedTuple):
    """A crop of an axis's end: axis, size, and length dropped."""

    axis: int
    size: int
    dropped: int


def cropped_sum(op: Any, x: Any, starts: Any, ends: Any, axes: Any, c: Any) -> Any:
    """An Add to a Slice."""
    return op.Add(op.Slice(x, starts, ends, axes, _allow_other_inputs=True, _outputs=["cropped"]), c)


def decide(site: NodeSite) -> Crop | Refusal:
    """A small crop, used nowhere else, and a constant summand."""
    if len(site["cropped"].uses()) > 1:
        return Refusal("the cropped value is needed elsewhere")
    if not known_beforehand(site["c"]):
        return Refusal("the summand depends on the input")
    crop = _crop(site)
    if crop is None or len(shape_of(site["c"])) != len(shape_of(site["x"])):
        return Refusal("the crop is not the end of one axis, or its size is unknown")
    if 4 * crop.dropped > crop.size:
        return Refusal("more than a few rows are cropped")
    return crop


@rewrite(
    cropped_sum,
    decide=decide,
    shared=True,
    name="sum-before-crop",
    why="The widest skip of HTDemucs is cropped and then takes an embedding: two buffers of 33 MB in the "
    "shape of a decoder, of which one is held until that decoder runs. ONNX Runtime takes 1140 MB for "
    "htdemucs without it, 1072 with (default session, benchmarks/ablation.py).",
    numerics=EXACT,
    targets=CPU_RUNTIMES,
    tags={"layout", "speed"},
    after=["embedding-without-expand"],
    cases=[
        Case("last-row", lambda: Embedded(crop=1), IMAGE, ops={"Slice": 1, "Pad": 1}, beside=BESIDE),
        Case("open-batch", lambda: Embedded(crop=1), ((2, 8, 7, 20),), beside=BESIDE,
             options={"batch": "dynamic"}),
        GraphCase("of-all-rows", CROPPED, ops={"Slice": 1, "Pad": 0}),
        GraphCase("half", CROPPED.replace("{11}", "{6}"), fires=0, because="more than a few rows"),
        GraphCase("cropped-needed-elsewhere", CROPPED.replace("Neg(sum)", "Mul(sum, cropped)"), fires=0,
                  because="needed elsewhere"),
        GraphCase("depends-on-the-input", CROPPED.replace("Add(cropped, c)", "Add(cropped, mean)"), fires=0,
                  because="depends on the input"),
        GraphCase("not-from-the-start", CROPPED.replace("start = {0}", "start = {1}"), fires=0,
                  because="not the end of one axis"),
    ],
)  # fmt: skip
def sum_before_crop(op: Any, site: NodeSite, crop: Crop) -> Any:
    """``x[:, :, :n] + c`` → ``(x + pad(c))[:, :, :n]``, for a ``c`` that is known without the input."""
    summand, sizes = site["c"], shape_of(site["c"])
    if sizes[crop.axis] != 1:
        after = [crop.dropped if axis == crop.axis else 0 for axis in range(len(sizes))]
        summand = op.Pad(summand, op.Constant(value_ints=[0] * len(sizes) + after))
    return op.Slice(op.Add(site["x"], summand), *site.maker("cropped").inputs[1:])


def _crop(site: NodeSite) -> Crop | None:
    node = site.maker("cropped")
    starts, axes, steps = (constant(node, index) for index in (1, 3, 4))
    if starts != [0] or axes is None or len(axes) != 1 or (len(node.inputs) > 4 and steps != [1]):
        return None
    before, after = shape_of(site["x"]), shape_of(site["cropped"])
    size, left = (sizes[axes[0]] if sizes else None for sizes in (before, after))
    if not isinstance(size, int) or not isinstance(left, int):
        return None
    return Crop(axes[0] % len(before), size, size - left)
