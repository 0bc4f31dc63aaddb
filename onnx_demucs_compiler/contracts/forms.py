"""Forms: operators with those of their traits on which engines differ.

Such as ``Pad: reflect, with a value``. Probes (``benchmarks/engines``) have a small model for each form that
the compiler writes, and an engine's contract looks each node up among what the engine made of them.

Nodes that compute nothing from real numbers of the input have none: whole numbers, such as shapes, and what
engines fold when they load a file. Nodes whose sizes the file leaves open are of one form, :data:`OPEN`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx_demucs_compiler.contracts.artifact import AI_ONNX

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from onnx_demucs_compiler.contracts.artifact import Artifact, Node, Shape

    Traits = Iterator[str]

OPEN = "open sizes"
REAL = frozenset({"float", "float16", "bfloat16", "double"})
CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
NOT_FOLDED = frozenset({"Cast", "ConstantOfShape", "DequantizeLinear", "MatMul"})
"""Operators that engines refuse or mistake even where all they take is constant."""
PLAIN_RANK = 4
"""The most axes that every engine is made for."""


def forms(artifact: Artifact, of_any_size: Collection[str] = CONTROL_FLOW) -> dict[str, list[Node]]:
    """The nodes of a file by their form, in its order.

    Args:
        artifact: the file.
        of_any_size: operators that keep their form where sizes are open.
    """
    found: dict[str, list[Node]] = {}
    facts = Facts(artifact)
    for node in artifact.nodes:
        if facts.counts(node):
            found.setdefault(form_of(node, facts, of_any_size), []).append(node)
    return found


def form_of(node: Node, facts: Facts, of_any_size: Collection[str] = CONTROL_FLOW) -> str:
    """The operator and its traits in one line, or :data:`OPEN`."""
    if node.op not in of_any_size and not all(facts.is_fixed(name) for name in (*node.inputs, *node.outputs)):
        return OPEN
    traits = [*TRAITS.get(node.op, _no_traits)(node, facts), *_common(node, facts)]
    operator = node.op if node.domain == AI_ONNX else f"{node.domain}.{node.op}"
    return f"{operator}: {', '.join(traits)}" if traits else operator


class Facts:
    """The facts that a file tells of its values."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self.numbers = artifact.numbers
        self.constants = set(artifact.weights)
        for node in artifact.nodes:
            if node.op not in CONTROL_FLOW and all(name in self.constants for name in node.inputs if name):
                self.constants |= set(node.outputs)

    def counts(self, node: Node) -> bool:
        """True if a node has a form."""
        if node.op in CONTROL_FLOW:
            return True
        if node.outputs[0] in self.constants:
            return node.op in NOT_FOLDED and self.may_be_real(node.outputs[0])
        return any(self.may_be_real(name) for name in (*node.inputs, *node.outputs) if name)

    def may_be_real(self, name: str) -> bool:
        """True for a real number, and where the file does not tell."""
        return self.type(name) in REAL | {"undefined"}

    def is_fixed(self, name: str) -> bool:
        """True for a known size, a constant and an input left out."""
        shape = self.shape(name)
        if shape is None:
            return not name or name in self.constants
        return all(isinstance(size, int) for size in shape)

    def type(self, name: str) -> str:
        """The element type; ``undefined`` if the file does not tell."""
        value = self._artifact.find(name)
        return "undefined" if value is None else value.type

    def shape(self, name: str) -> Shape | None:
        """The shape, if the file tells."""
        value = self._artifact.find(name)
        return None if value is None else value.shape

    def is_constant(self, node: Node, index: int) -> bool:
        """True if nothing that the graph is given reaches an input."""
        return len(node.inputs) > index and node.inputs[index] in self.constants

    def given(self, node: Node, index: int) -> tuple[int, ...] | None:
        """Whole numbers of an input; None where they are computed or absent."""
        return self.numbers.get(node.inputs[index]) if len(node.inputs) > index else None

    def rank(self, node: Node, index: int = 0) -> int | None:
        """The number of axes of an input, if the file tells."""
        shape = self.shape(node.inputs[index])
        return None if shape is None else len(shape)


def _no_traits(_: Node, __: Facts) -> Traits:
    return iter(())


def _common(node: Node, facts: Facts) -> Traits:
    ranks = [len(shape) for name in (*node.inputs, *node.outputs) if (shape := facts.shape(name)) is not None]
    if max(ranks, default=0) > PLAIN_RANK:
        yield f"{max(ranks)} axes"


def _elementwise(node: Node, facts: Facts) -> Traits:
    """The factor that is constant, and a difference of sizes."""
    yield from ("constant left" for _ in range(facts.is_constant(node, 0)))
    yield from ("constant right" for _ in range(facts.is_constant(node, 1)))
    shapes = [facts.shape(name) for name in node.inputs]
    if any(shape is not None and set(shape) <= {1} for shape in shapes):
        yield "one number"
    elif len(set(shapes)) > 1:
        yield "broadcast"


def _convolution(node: Node, facts: Facts) -> Traits:
    attributes = node.attributes
    yield f"{len(attributes.get('kernel_shape', ()))}-D"
    for name, trait in (("strides", "strided"), ("dilations", "dilated")):
        if any(size > 1 for size in attributes.get(name, ())):
            yield trait
    if any(attributes.get("pads", ())):
        yield "padded"
    if attributes.get("group", 1) > 1:
        yield "in groups"
    if not facts.is_constant(node, 1):
        yield "computed weights"
    if len(node.inputs) < 3 or not node.inputs[2]:
        yield "no bias"


def _product(node: Node, facts: Facts) -> Traits:
    left, right = (facts.shape(name) for name in node.inputs)
    constant = [side for index, side in enumerate(("left", "right")) if facts.is_constant(node, index)]
    if constant:
        yield "constants" if len(constant) == 2 else f"constant {constant[0]}"
    if left is None or right is None:
        yield "unknown shapes"
        return
    batches = left[:-2], right[:-2]
    if not all(batches):
        yield from ["one matrix for all"] if any(batches) else []
        return
    rank = max(map(len, batches))
    ones = [(1,) * (rank - len(batch)) + batch for batch in batches]
    for side, batch, other in (("left", *ones), ("right", *reversed(ones))):
        if any(size == 1 != wanted for size, wanted in zip(batch, other, strict=True)):
            yield f"{side} batches broadcast"


def _pad(node: Node, facts: Facts) -> Traits:
    yield _text(node.attributes.get("mode", b"constant"))
    if len(node.inputs) > 2 and node.inputs[2]:
        yield "with a value"
    if not facts.is_constant(node, 1):
        yield "computed widths"


def _reduction(node: Node, facts: Facts) -> Traits:
    axes, rank = facts.given(node, 1), facts.rank(node)
    if len(node.inputs) < 2:
        yield "all axes"
    elif axes is None or rank is None:
        yield "computed axes"
    else:
        ordered = sorted(axis % rank for axis in axes)
        yield "last axes" if ordered == list(range(rank - len(axes), rank)) else "inner axes"
    if not node.attributes.get("keepdims", 1):
        yield "axes dropped"


def _reshape(node: Node, facts: Facts) -> Traits:
    sizes = facts.given(node, 1)
    if sizes is None:
        yield "computed sizes"
        return
    if 0 in sizes and not node.attributes.get("allowzero", 0):
        yield "0 in the shape"
    if -1 in sizes:
        yield "-1 in the shape"


def _slice(node: Node, facts: Facts) -> Traits:
    if not all(facts.is_constant(node, index) for index in (1, 2)):
        yield "computed bounds"
    steps = facts.given(node, 4) or (1,)
    if min(steps) < 0:
        yield "backwards"
    if max(map(abs, steps)) > 1:
        yield "in steps"


def _concat(node: Node, facts: Facts) -> Traits:
    yield f"axis {_axis(node, facts)}"
    if any(name in facts.constants for name in node.inputs):
        yield "constant parts"


def _split(node: Node, facts: Facts) -> Traits:
    yield f"axis {_axis(node, facts)}"
    yield "sizes" if len(node.inputs) > 1 else "equal parts"


def _gather(node: Node, facts: Facts) -> Traits:
    yield f"axis {_axis(node, facts)}"
    yield "one place" if facts.rank(node, 1) == 0 else "places"
    if not facts.is_constant(node, 1):
        yield "computed"


def _axis(node: Node, facts: Facts) -> int:
    axis: int = node.attributes.get("axis", 0)
    rank = next((len(shape) for name in node.inputs if (shape := facts.shape(name)) is not None), 0)
    return axis if axis >= 0 else axis + rank


def _transpose(node: Node, _: Facts) -> Traits:
    yield " ".join(map(str, node.attributes.get("perm", ())))


def _instance_norm(node: Node, facts: Facts) -> Traits:
    shape = facts.shape(node.inputs[0])
    if shape is not None and shape[1] == 1:
        yield "one channel"


def _recurrent(node: Node, _: Facts) -> Traits:
    yield _text(node.attributes.get("direction", b"forward"))
    if any(node.inputs[5:7]):
        yield "first states"


def _zeros(node: Node, facts: Facts) -> Traits:
    yield "value" if "value" in node.attributes else "no value"
    if not facts.is_constant(node, 0):
        yield "computed shape"


def _sized(node: Node, facts: Facts) -> Traits:
    if len(node.inputs) > 1 and not facts.is_constant(node, 1):
        yield "computed sizes"


def _cast(node: Node, facts: Facts) -> Traits:
    yield f"{facts.type(node.inputs[0])} to {facts.type(node.outputs[0])}"


def _dequantised(node: Node, facts: Facts) -> Traits:
    yield facts.type(node.inputs[0])


def _softmax(node: Node, facts: Facts) -> Traits:
    rank = facts.rank(node)
    last = node.attributes.get("axis", -1) in (-1, None if rank is None else rank - 1)
    yield "last axis" if last else "inner axis"


def _loop(node: Node, facts: Facts) -> Traits:
    if any(name not in facts.constants for name in node.captured):
        yield "computed outer values"


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


TRAITS: dict[str, Callable[[Node, Facts], Traits]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Max", "Min", "Mod", "Pow", "Equal"), _elementwise),
    **dict.fromkeys(("Conv", "ConvTranspose"), _convolution),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"), _reduction),
    **dict.fromkeys(("If", "Loop", "Scan"), _loop),
    **dict.fromkeys(("LSTM", "GRU"), _recurrent),
    **dict.fromkeys(("Expand", "Unsqueeze", "Squeeze"), _sized),
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _zeros,
    "DequantizeLinear": _dequantised,
    "Gather": _gather,
    "InstanceNormalization": _instance_norm,
    "MatMul": _product,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Transpose": _transpose,
}
"""By operator; others have none but the common ones."""
