"""A scale of columns as part of the weights that multiply them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from onnx_ir.tape import Tape
from torch import nn

from onnx_demucs_compiler.graph.storage import insert_before
from onnx_demucs_compiler.rules import Case, GraphCase, NotMine, Numerics, Refusal, graph_pass
from onnx_demucs_rules.integers import stored_integers
from onnx_demucs_rules.known import known_beforehand, shape_of
from onnx_demucs_rules.products.examples import ScaledLayer

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_demucs_compiler.rules import NodeSite

NAME = "scale-into-product"

SCALED = """
<ir_version: 8, opset_import: ["": 18]>
scaled (float[2, 3, 4] x) => (float[2, 3, 2] y)
<float two = {2.0},
float[4] g = {1.0, -2.0, 0.5, 3.0}, float[4, 2] w = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0}
>
{
    doubled = Mul(two, x)
    scaled = Mul(doubled, g)
    y = MatMul(scaled, w)
}
"""
SQUARED = (
    SCALED.replace("[2, 3, 4] x", "[4, 4] x")
    .replace("[2, 3, 2] y", "[4, 4] y")
    .replace("scaled, w", "scaled, x")
)


class Scaling(NamedTuple):
    """A value, its factors in order, and the products behind them."""

    x: ir.Value
    factors: list[ir.Value]
    products: list[ir.Node]


def decide(site: NodeSite) -> Scaling | Refusal | NotMine:
    """Factors of columns, and nothing but products with weights behind them."""
    [scaled] = site.node.outputs
    products = [use.node for use in scaled.uses()]
    if not products or any(node.op_type != "MatMul" for node in products):
        return NotMine()
    x, factors = _unscaled(scaled)
    if not factors:
        return NotMine()
    if site.options.precision == "int8":
        return Refusal("products of bytes take the weights as they are")
    if scaled.is_graph_output():
        return Refusal("what is scaled is needed as it is")
    if not all(_takes_columns(node, scaled) for node in products):
        return Refusal("it multiplies no matrix of weights")
    return Scaling(x, factors, products)


@graph_pass(
    decide=decide,
    on=("Mul",),
    name=NAME,
    why="RoFormers multiply what they have normalised by the root of its width and by a factor for each "
    "channel, two passes in front of every layer that the layer's weights can spare.",
    numerics=Numerics(min_snr_db=125),
    tags={"products", "speed"},
    after=["lighter-branch-first"],
    cases=[
        Case("norm", ScaledLayer, ((2, 3, 20),), ops={"Mul": 1, "MatMul": 1}),
        Case("two-layers", lambda: ScaledLayer(layers=2), ((2, 3, 20),), ops={"Mul": 2, "MatMul": 2}),
        Case("int8", ScaledLayer, ((2, 3, 20),), fires=0, because="products of bytes",
             options={"precision": "int8"}),
        Case("of-the-input", lambda: ScaledLayer(dynamic=True), ((2, 3, 20),), fires=0),
        GraphCase("two-factors", SCALED, ops={"Mul": 2}),
        Case("gelu", lambda: nn.Sequential(nn.GELU(), nn.Linear(20, 7)), ((2, 3, 20),), fires=0),
        GraphCase("needed-as-it-is", SCALED.replace("2] y)", "2] y, float[2, 3, 4] scaled)"), fires=0,
                  because="needed as it is"),
        GraphCase("of-rows", SCALED.replace("float[4] g = {1.0, -2.0, 0.5, 3.0}",
                  "float[3, 1] g = {1.0, -2.0, 0.5}"), fires=0),
        GraphCase("squared", SQUARED, fires=0, because="no matrix of weights"),
    ],
)  # fmt: skip
def scale_into_product(site: NodeSite, scaling: Scaling) -> None:
    """``(x · s) W`` → ``x (diag(s) W)``."""
    last = stored_integers(site.model.graph, [-1])
    for product in scaling.products:
        tape, stored = Tape(), product.inputs[1]
        assert stored is not None, "a product has two factors"
        weights = stored
        for factor in scaling.factors:
            column = tape.op("Unsqueeze", [factor, last]) if shape_of(factor) else factor
            weights = tape.op("Mul", [weights, column])
            weights.shape, weights.type = stored.shape, stored.type
        product.replace_input_with(0, scaling.x)
        product.replace_input_with(1, weights)
        insert_before(product, tape, NAME, f"{product.outputs[0].name}.weights")


def _unscaled(scaled: ir.Value) -> tuple[ir.Value, list[ir.Value]]:
    """The value before a chain of factors, and these factors.

    One number alone stays: it may be the half of a GELU, which runtimes fuse.
    """
    x, factor = _factor(scaled)
    if factor is None or not shape_of(factor):
        return scaled, []
    before, number = _factor(x)
    if number is None or shape_of(number) or len(x.uses()) > 1 or _maker(before) == "Mul":
        return x, [factor]
    return before, [number, factor]


def _factor(scaled: ir.Value) -> tuple[ir.Value, ir.Value | None]:
    """The value before a factor, and the factor of columns."""
    node = scaled.producer()
    if node is None or node.op_type != "Mul":
        return scaled, None
    x, factor = node.inputs if known_beforehand(node.inputs[1]) else reversed(node.inputs)
    if x is None or factor is None or factor.shape is None or not known_beforehand(factor):
        return scaled, None
    return (x, factor) if shape_of(factor) in ((), shape_of(x)[-1:]) else (scaled, None)


def _maker(value: ir.Value) -> str:
    node = value.producer()
    return node.op_type if node else ""


def _takes_columns(product: ir.Node, x: ir.Value) -> bool:
    """True for ``x W`` with a matrix of weights."""
    given, weights = product.inputs
    return given is x and known_beforehand(weights) and len(shape_of(weights)) == 2
