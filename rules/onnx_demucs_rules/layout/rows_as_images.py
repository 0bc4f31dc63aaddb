"""Residual branches on rows of an image, without transposing the image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from onnxscript.rewriter import MatchResult
from onnxscript.rewriter.pattern import RewriteRuleClassBase

from onnx_demucs_compiler.rules import Case, Numerics, rewrite
from onnx_demucs_compiler.targets import CPU_RUNTIMES
from onnx_demucs_rules.layout.examples import RowBranch

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_ir as ir

SWAPPED = (0, 2, 1, 3)
IMAGE = ((1, 8, 6, 20),)
GLU = ("glu-as-two-convolutions",)


class _OnRows(RewriteRuleClassBase):  # type: ignore[misc]
    """A pattern that has an image ``[B, C, F, T]`` and its rows ``[B·F, C, T]``."""

    def __init__(self) -> None:
        super().__init__(remove_nodes=False)

    def check(self, _: Any, **values: ir.Value) -> MatchResult:
        """Require rows of the whole image, known lengths, the pattern's own."""
        result = MatchResult()
        if not _are_rows(values["image"], values["rows"]):
            return result.fail("no rows of an image of known size")
        reason = self.unsuitable(values)
        return result.fail(reason) if reason else result

    def unsuitable(self, _: Mapping[str, ir.Value]) -> str | None:
        """Why the pattern does not pay here."""
        return None


class _ConvolutionOfRows(_OnRows):
    """``Conv(rows(x), w)`` → ``rows(Conv(x, w))``, the kernel a row high."""

    def pattern(self, op: Any, image: ir.Value, weight: ir.Value) -> Any:
        return _convolution(op, _rows(op, image), weight)

    def unsuitable(self, values: Mapping[str, ir.Value]) -> str | None:
        narrower = _growth(values["weight"]) < 1 and _known(values["convolved"])
        return None if narrower else "more channels come out than go in"

    def rewrite(self, op: Any, image: ir.Value, weight: ir.Value, convolved: ir.Value, **_: ir.Value) -> Any:
        return _as_rows(op, _convolved(op, image, weight, convolved), convolved)


class _SumWithRows(_OnRows):
    """``rows(x) + y`` → ``rows(x + image(y))``, where ``y`` can become an image before it gets wide."""

    def pattern(self, op: Any, image: ir.Value, branch: ir.Value) -> Any:
        return op.Add(_rows(op, image), branch)

    def unsuitable(self, values: Mapping[str, ir.Value]) -> str | None:
        branch = values["branch"]
        gate = _is_gate(branch) and _alike(branch, values["rows"])
        return None if gate else "what is added is not a gated convolution"

    def rewrite(self, op: Any, image: ir.Value, branch: ir.Value, rows: ir.Value, **_: ir.Value) -> Any:
        return _as_rows(op, op.Add(image, _as_image(op, branch, image)), rows)


class _ImageOfRows(_OnRows):
    """``image(rows(x))`` → ``x``."""

    def pattern(self, op: Any, image: ir.Value) -> Any:
        return op.Transpose(
            op.Reshape(_rows(op, image), _allow_other_inputs=True), perm=SWAPPED, _outputs=["same"]
        )

    def unsuitable(self, values: Mapping[str, ir.Value]) -> str | None:
        same, image = values["same"].shape, values["image"].shape
        alike = same is not None and image is not None and same[1:] == image[1:]
        return None if alike else "the rows become another image"

    def rewrite(self, op: Any, image: ir.Value, **_: ir.Value) -> Any:
        return op.Identity(image)


class _ImageOfProduct(_OnRows):
    """``image(a · b)`` → ``image(a) · image(b)``, for a gate."""

    def pattern(self, op: Any, first: ir.Value, second: ir.Value) -> Any:
        return _image(op, op.Mul(first, second, _outputs=["rows"]))

    def unsuitable(self, values: Mapping[str, ir.Value]) -> str | None:
        return None if _is_gate(values["rows"]) else "the product is not a gated convolution"

    def rewrite(self, op: Any, first: ir.Value, second: ir.Value, image: ir.Value, **_: ir.Value) -> Any:
        return op.Mul(_as_image(op, first, image), _as_image(op, second, image))


class _ImageOfSigmoid(_OnRows):
    """``image(sigmoid(x))`` → ``sigmoid(image(x))``."""

    def pattern(self, op: Any, x: ir.Value) -> Any:
        return _image(op, op.Sigmoid(x, _outputs=["rows"]))

    def rewrite(self, op: Any, x: ir.Value, image: ir.Value, **_: ir.Value) -> Any:
        return op.Sigmoid(_as_image(op, x, image))


class _ImageOfConvolution(_OnRows):
    """``image(Conv(x, w))`` → ``Conv(image(x), w)``, the kernel a row high."""

    def pattern(self, op: Any, x: ir.Value, weight: ir.Value) -> Any:
        return _image(op, _convolution(op, x, weight, name="rows"))

    def unsuitable(self, values: Mapping[str, ir.Value]) -> str | None:
        wider = _growth(values["weight"]) >= 1 and _known(values["x"])
        return None if wider else "fewer channels come out than go in"

    def rewrite(
        self, op: Any, x: ir.Value, weight: ir.Value, image: ir.Value, rows: ir.Value, **_: ir.Value
    ) -> Any:
        return _convolved(op, _as_image(op, x, image), weight, rows)


@rewrite(
    name="rows-as-images",
    why="The frequency branch of Demucs transposes its widest tensors into rows, convolves along these, and "
    "transposes back: two passes in each of eight layers. A convolution with a kernel a row high does the "
    "same on the image, which runtimes also keep in the layout of the convolutions around it. ONNX "
    "Runtime takes 1227 MB for htdemucs without it, 1072 with (default session, benchmarks/ablation.py).",
    numerics=Numerics(min_snr_db=125),
    targets=CPU_RUNTIMES,
    tags={"layout", "speed"},
    after=["glu-as-two-convolutions", "scale-into-convolution"],
    cases=[
        Case("branch", RowBranch, IMAGE, fires=7, beside=GLU, ops={"Conv": 3, "Transpose": 2}),
        Case("two-branches", lambda: RowBranch(blocks=2), IMAGE, fires=13, beside=GLU,
             ops={"Conv": 6, "Transpose": 4}),
        Case("several-images", RowBranch, ((3, 8, 6, 20),), fires=7, beside=GLU, ops={"Transpose": 2}),
        Case("open-batch", RowBranch, ((2, 8, 6, 20),), fires=7, beside=GLU, ops={"Transpose": 2},
             options={"batch": "dynamic"}),
        Case("branch-without-gate", lambda: RowBranch(gated=False), IMAGE, fires=1, beside=GLU,
             because="not a gated convolution"),
        Case("one-branch-for-all-rows", lambda: RowBranch(shared=True), IMAGE, fires=0, beside=GLU,
             because="not a gated convolution"),
        Case("widens-at-once", lambda: RowBranch(hidden=16), IMAGE, fires=0, beside=GLU,
             because="more channels come out"),
        Case("no-rows", lambda: RowBranch(perm=(0, 3, 1, 2)), ((1, 8, 20, 6),), fires=0, beside=GLU),
    ],
)  # fmt: skip
class RowsAsImages:
    """``rows(x) + gate(…Conv(rows(x))…)`` → ``rows(x + …)``, all that is wide as ``[B, C, F, T]``."""

    patterns = (
        _ConvolutionOfRows, _SumWithRows, _ImageOfRows, _ImageOfProduct, _ImageOfSigmoid, _ImageOfConvolution
    )  # fmt: skip


def _rows(op: Any, image: ir.Value) -> Any:
    return op.Reshape(op.Transpose(image, perm=SWAPPED), _allow_other_inputs=True, _outputs=["rows"])


def _image(op: Any, rows: ir.Value) -> Any:
    return op.Transpose(op.Reshape(rows, _allow_other_inputs=True), perm=SWAPPED, _outputs=["image"])


def _convolution(op: Any, x: ir.Value, weight: ir.Value, name: str = "convolved") -> Any:
    return op.Conv(x, weight, _allow_other_inputs=True, _allow_other_attributes=True, _outputs=[name])


def _as_rows(op: Any, image: ir.Value, like: ir.Value) -> ir.Value:
    shape = op.Constant(value_ints=[-1, _size(like, 1), _size(like, 2)])
    rows: ir.Value = op.Reshape(op.Transpose(image, perm=SWAPPED), shape)
    return rows


def _as_image(op: Any, rows: ir.Value, like: ir.Value) -> ir.Value:
    shape = op.Constant(value_ints=[-1, _size(like, 2), _size(rows, 1), _size(rows, 2)])
    image: ir.Value = op.Transpose(op.Reshape(rows, shape), perm=SWAPPED)
    return image


def _convolved(op: Any, image: ir.Value, weight: ir.Value, convolved: ir.Value) -> ir.Value:
    """The convolution of rows that made ``convolved``, of an image."""
    node = convolved.producer()
    assert node is not None, "the pattern matched a Conv"
    kernel = op.Unsqueeze(weight, op.Constant(value_ints=[2]))
    attributes: dict[str, Any] = dict(node.attributes)
    for name in {"kernel_shape", "strides", "dilations"} & attributes.keys():
        attributes[name] = [1, *attributes[name].as_ints()]
    if "pads" in attributes:
        begin, end = attributes["pads"].as_ints()
        attributes["pads"] = [0, begin, 0, end]
    result: ir.Value = op.Conv(image, kernel, *node.inputs[2:], **attributes)
    return result


def _is_gate(value: ir.Value) -> bool:
    """True for the product of a widening convolution and another's sigmoid."""
    node = value.producer()
    if node is None or node.op_type != "Mul":
        return False
    made_alike = all(_alike(factor, value) for factor in node.inputs)
    return made_alike and sorted(map(_maker, node.inputs)) == ["Conv", "Sigmoid of Conv"]


def _alike(value: ir.Value | None, other: ir.Value) -> bool:
    """True if neither is broadcast; open sizes are taken as equal."""
    if value is None or value.shape is None or other.shape is None or len(value.shape) != len(other.shape):
        return False
    pairs = zip(value.shape, other.shape, strict=True)
    return all(one == two or not (isinstance(one, int) or isinstance(two, int)) for one, two in pairs)


def _maker(value: ir.Value | None) -> str:
    node = value.producer() if value is not None else None
    if node is None:
        return ""
    if node.op_type == "Sigmoid":
        return f"Sigmoid of {_maker(node.inputs[0])}"
    return node.op_type if node.op_type == "Conv" and _growth(node.inputs[1]) >= 1 else ""


def _growth(weight: ir.Value | None) -> float:
    """The ratio of output to input channels; NaN if unknown."""
    sizes = () if weight is None or weight.shape is None else weight.shape[:2]
    known = [size for size in sizes if isinstance(size, int)]
    return known[0] / known[1] if len(known) == 2 else math.nan


def _are_rows(image: ir.Value, rows: ir.Value) -> bool:
    if image.shape is None or rows.shape is None or len(image.shape) != 4 or len(rows.shape) != 3:
        return False
    wanted = (image.shape[1], image.shape[3])
    return all(isinstance(size, int) for size in image.shape[1:]) and tuple(rows.shape[1:]) == wanted


def _known(rows: ir.Value) -> bool:
    return rows.shape is not None and all(isinstance(size, int) for size in rows.shape[1:])


def _size(value: ir.Value, axis: int) -> int:
    assert value.shape is not None, "shapes are inferred"
    size = value.shape[axis]
    assert isinstance(size, int), "the check has looked"
    return size
