"""A projection that gives heads, as one product for each head."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import onnx_ir as ir
from onnx_ir.passes import common as passes
from onnx_ir.tape import Tape

from onnx_demucs_compiler.graph.storage import insert_before
from onnx_demucs_compiler.graph.weights import store_as_used
from onnx_demucs_compiler.rules import Case, NotMine, Numerics, Refusal, graph_pass
from onnx_demucs_compiler.targets import CPU_RUNTIMES, ORT
from onnx_demucs_rules.attention.examples import Projected
from onnx_demucs_rules.integers import stored_integers
from onnx_demucs_rules.known import constant, known_beforehand, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx_demucs_compiler.rules import NodeSite

NAME = "projection-by-heads"

SHAPE = ((2, 40, 12),)
BESIDE = ("attention-as-matmul",)

HEADS, KEYS = [0, 2, 1, 3], [0, 2, 3, 1]
"""Of ``[B, T, H, D]``: to ``[B, H, T, D]``, and to ``[B, H, D, T]``."""

PARTS_FIRST = [2, 0, 3, 1, 4]
"""Of ``[B, T, n, H, D]``: to ``[n, B, H, T, D]``."""

# Every product of a head packs its weights anew.
LEAST_STEPS = 32


class Part(NamedTuple):
    """Heads, their place among the parts, and whether width comes first."""

    heads: ir.Value
    place: int
    keys: bool


class Projection(NamedTuple):
    """A product of ``pieces`` parts of ``heads`` heads, ``width`` numbers each."""

    parts: list[Part]
    pieces: int
    heads: int
    width: int


def decide(site: NodeSite) -> Projection | Refusal | NotMine:
    """Weights, and parts that are all taken apart into heads."""
    apart = _reshaped(site.node.outputs[0])
    if apart is None or not known_beforehand(site["B"]):
        return NotMine()
    if len(shape_of(site["A"])) != 3 or len(shape_of(site["B"])) != 2:
        return NotMine()
    steps, *sizes = shape_of(apart)[1:]
    parts = list(_parts(apart))
    if not any(parts):
        return NotMine()
    if site.options.precision == "int8":
        return Refusal("products of bytes take the weights as they are")
    if not all(parts):
        return Refusal("a part of the product is not taken apart into heads")
    known = [size for size in sizes if isinstance(size, int)]
    if not isinstance(steps, int) or len(known) < len(sizes):
        return Refusal("the number of steps is open")
    count, heads, width = [1, *known][-3:]
    if steps < LEAST_STEPS:
        return Refusal(f"only {steps} steps take the weights of a head")
    return Projection([part for part in parts if part], count, heads, width)


@graph_pass(
    decide=decide,
    on=("MatMul",),
    name=NAME,
    why="A projection to queries, keys and values is cut in three and transposed to heads, two passes over "
    "all of it. A product for each head leaves them where attention reads them, in 0.7 of the time "
    "(benchmarks/forms_in_ort.py).",
    numerics=Numerics(min_snr_db=125),
    targets=CPU_RUNTIMES - {ORT},
    tags={"attention", "speed"},
    after=["lighter-branch-first", "scale-into-product"],
    cases=[
        Case("together", Projected, SHAPE, beside=BESIDE, ops={"Slice": 0, "Transpose": 2, "MatMul": 5}),
        Case("parts-first", lambda: Projected(parts_first=True), SHAPE, beside=BESIDE,
             ops={"Slice": 0, "Transpose": 2}),
        Case("one-by-one", lambda: Projected(together=False), SHAPE, fires=3, beside=BESIDE,
             ops={"Transpose": 2}),
        Case("open-batch", Projected, SHAPE, beside=BESIDE, ops={"Slice": 0}, options={"batch": "dynamic"}),
        Case("few-steps", Projected, ((2, 20, 12),), fires=0, beside=BESIDE, because="only 20 steps"),
        Case("int8", Projected, SHAPE, fires=0, beside=BESIDE, because="products of bytes",
             options={"precision": "int8"}),
        Case("bias", lambda: Projected(bias=True), SHAPE, fires=0, beside=BESIDE),
        Case("a-part-as-it-is", lambda: Projected(keep=True), SHAPE, fires=0, beside=BESIDE,
             because="not taken apart"),
    ],
)  # fmt: skip
def projection_by_heads(site: NodeSite, projection: Projection) -> None:
    """``transpose(split(x W)[i])`` → ``x W[i, h]`` for each head ``h``."""
    tape, (parts, count, heads, width) = Tape(), projection

    def integers(*numbers: int) -> ir.Value:
        return stored_integers(site.model.graph, numbers)

    rows = tape.op("Unsqueeze", [site["A"], integers(1)])
    weights = [site["B"]]
    if count > 1:
        sizes = integers(*[heads * width] * count)
        weights = list(tape.op_multi_out("Split", [site["B"], sizes], {"axis": 1}, num_outputs=count))
        for weight in weights:
            weight.shape = ir.Shape([shape_of(site["B"])[0], heads * width])
            weight.type = site["B"].type
    for old, index, keys in parts:
        columns = tape.op("Reshape", [weights[index], integers(-1, heads, width)])
        new = tape.op("MatMul", [rows, tape.op("Transpose", [columns], {"perm": [1, 0, 2]})])
        if keys:
            new = tape.op("Transpose", [new], {"perm": [0, 1, 3, 2]})
        new.name, new.shape, new.type = old.name, old.shape, old.type
        old.replace_all_uses_with(new)
    insert_before(site.node, tape, NAME, f"{site.node.outputs[0].name}.head")
    passes.RemoveUnusedNodesPass()(site.model)
    store_as_used(site.model)


def _reshaped(product: ir.Value) -> ir.Value | None:
    """A product's only use, a Reshape to ``[B, T, (n,) H, D]``."""
    reshape = _only_user(product, "Reshape")
    return reshape.outputs[0] if reshape and len(shape_of(reshape.outputs[0])) in (4, 5) else None


def _parts(apart: ir.Value) -> Iterator[Part | None]:
    """The parts of a product; ``None`` for one that is not heads."""
    if len(shape_of(apart)) == 4:
        yield _as_heads(apart, 0)
        return
    first = _only_user(apart, "Transpose")
    moved = first is not None and _order(first) == PARTS_FIRST
    for use in (first.outputs[0] if first and moved else apart).uses():
        index = _chosen(use.node, 0 if moved else 2)
        squeeze = _only_user(use.node.outputs[0], "Squeeze")
        if index is None or squeeze is None:
            yield None
        elif moved:
            yield Part(squeeze.outputs[0], index, keys=False)
        else:
            yield _as_heads(squeeze.outputs[0], index)


def _as_heads(part: ir.Value, index: int) -> Part | None:
    transpose = _only_user(part, "Transpose")
    if transpose is None or _order(transpose) not in (HEADS, KEYS):
        return None
    return Part(transpose.outputs[0], index, _order(transpose) == KEYS)


def _chosen(node: ir.Node, axis: int) -> int | None:
    """The single place that a Slice takes along an axis."""
    if node.op_type != "Slice" or constant(node, 3) != [axis]:
        return None
    start, end = constant(node, 1), constant(node, 2)
    return start[0] if start and end and end[0] == start[0] + 1 else None


def _order(transpose: ir.Node) -> list[int]:
    return list(transpose.attributes.get_ints("perm", []))


def _only_user(value: ir.Value, operator: str) -> ir.Node | None:
    users = [use.node for use in value.uses()]
    alone = len(users) == 1 and not value.is_graph_output() and users[0].op_type == operator
    return users[0] if alone else None
