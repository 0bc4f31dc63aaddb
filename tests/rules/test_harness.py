"""The harness of cases, tested with rules and cases that are wrong in one way each."""

import random
from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, Numerics, Refusal, Rule, decompose, graph_pass
from onnx_demucs_compiler.rules.ruleset import RuleSet, bundled
from onnx_demucs_compiler.testing import check_case
from onnx_demucs_rules.stems.examples import OneEach

aten = torch.ops.aten

HALF = """
<ir_version: 8, opset_import: ["": 18]>
half (float[2, rows] x) => (float[2, rows] y) <float factor = {0.5}>
{
    small = Mul(x, factor)
    y = Neg(small)
}
"""


class Half(nn.Module):
    """The same in torch."""

    def forward(self, x: Tensor) -> Tensor:
        return -(x * 0.5)


class Length(nn.Module):
    """By an operator that torch.onnx cannot translate."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.hypot(x, y)


class Drawing(nn.Module):
    """Another multiple in each trace."""

    def forward(self, x: Tensor) -> Tensor:
        return x * random.randrange(1, 1_000_000)


GRAPH, MODULE = GraphCase("graph", HALF), Case("module", Half, ((2, 3),))
FIRES, REFUSES = MODULE, Case("refuses", nn.ReLU, ((2, 3),), fires=0, because="no product")
Change = Callable[[ir.Model, Options], int | Refusal]


def products_by(divisor: float, op: str = "Div", count: int = 1) -> Change:
    """A pass that turns the product into a division, and says that it did so often."""

    def change(model: ir.Model, _: Options) -> int | Refusal:
        for node in model.graph:
            if node.op_type == "Mul":
                node.op_type = op
                node.replace_input_with(1, ir.val("divisor", const_value=ir.tensor(divisor, name="divisor")))
                model.graph.register_initializer(node.inputs[1])
                return count
        return Refusal("no product")

    return change


def a_pass(change: Change, numerics: Numerics = EXACT) -> Rule:
    return graph_pass(name="a-rule", why="Because.", numerics=numerics, cases=[FIRES, REFUSES])(change)


def says(rule: Rule, case: Case | GraphCase, rules: RuleSet | None = None) -> str:
    """What the harness has against a rule."""
    with pytest.raises(AssertionError) as failure:
        check_case(rule, case, RuleSet([]) if rules is None else rules)
    return str(failure.value)


def changed(case: Case | GraphCase, **changes: Any) -> Case | GraphCase:
    return type(case)(**(vars(case) | changes))


kinds = pytest.mark.parametrize("case", [GRAPH, MODULE], ids=["graph", "module"])


@kinds
def test_a_right_rule_passes(case: Case | GraphCase) -> None:
    check_case(a_pass(products_by(2.0)), changed(case, ops={"Mul": 0, "Div": 1}), RuleSet([]))


@kinds
def test_a_wrong_count(case: Case | GraphCase) -> None:
    assert says(a_pass(products_by(2.0, count=3)), case).startswith("fired 3 times")


@kinds
def test_a_wrong_reason(case: Case | GraphCase) -> None:
    refusing = changed(case, fires=0, because="too many products")
    message = says(a_pass(lambda *_: Refusal("no product here")), refusing)
    assert message.startswith("reasons given: ['no product here']")


@kinds
def test_a_reason_that_no_case_gives(case: Case | GraphCase) -> None:
    message = says(a_pass(lambda *_: Refusal("no product here")), changed(case, fires=0))
    assert message.startswith("the case gives no reason, and the rule does: ['no product here']")


@kinds
def test_a_wrong_histogram(case: Case | GraphCase) -> None:
    message = says(a_pass(products_by(2.0)), changed(case, ops={"Mul": 1}))
    assert message.startswith("the graph holds {'Div': 1, 'Neg': 1}")


@kinds
def test_invalid_onnx(case: Case | GraphCase) -> None:
    message = says(a_pass(products_by(2.0, op="Divide")), case)
    assert message.startswith("the compiled graph is not valid ONNX: No Op registered for Divide")


def test_too_inexact_against_float64() -> None:
    message = says(a_pass(products_by(2.01), Numerics(min_snr_db=100)), MODULE)
    assert message.startswith("46.1 dB against float64, and 100.0 dB are asked for")


def test_too_far_from_the_graph_without_the_rule() -> None:
    message = says(a_pass(products_by(2.01), Numerics(min_snr_db=100)), GRAPH)
    assert message.startswith("46.1 dB against the graph without the rule")


@kinds
def test_exact_though_a_bit_differs(case: Case | GraphCase) -> None:
    rule = a_pass(products_by(2.0000002), EXACT)
    # A product by a half is exact in float32, so that float64 notices first what a model lost.
    assert ("dB against float64, and inf" if case is MODULE else "an exact rule changed") in says(rule, case)
    check_case(a_pass(products_by(2.0000002), Numerics(min_snr_db=130)), case, RuleSet([]))


def test_exact_though_a_bit_of_a_chosen_stem_differs() -> None:
    def louder(model: ir.Model, _: Options) -> int:
        [output] = model.graph.outputs
        node = output.producer()
        bit = ir.val("bit", const_value=ir.tensor(1.0000001, name="bit"))
        model.graph.register_initializer(bit)
        product = ir.node("Mul", [node.outputs[0], bit])
        model.graph.append(product)
        product.outputs[0].name, output.name = "stems", "exact"
        product.outputs[0].shape, product.outputs[0].type = output.shape, output.type
        model.graph.outputs[0] = product.outputs[0]
        return 1

    case = Case("one", OneEach, ((1, 2, 64),), options={"stems": ("vocals",)}, beside=("select-stems",))
    assert "an exact rule changed the output" in says(a_pass(louder), case, bundled())


@kinds
def test_not_idempotent(case: Case | GraphCase) -> None:
    assert says(a_pass(lambda *_: 1), case).startswith("the rule fires again on its own result")


def decomposing(factor: float) -> Rule:
    def length(_: Any, x: Tensor, y: Tensor) -> Tensor:
        return torch.sqrt(x * x + y * y) * factor

    return decompose(
        aten.hypot.default, name="a-rule", why="Because.", numerics=EXACT, cases=[FIRES, REFUSES]
    )(length)


NEEDED = Case("needed", Length, ((2, 3), (2, 3)), needed=True)


def test_a_needed_rule_is_held_to_what_float32_keeps() -> None:
    check_case(decomposing(1), NEEDED, RuleSet([]))
    assert says(decomposing(1.0001), NEEDED).startswith("80.0 dB against float64, and 1")


def test_needed_though_not() -> None:
    message = says(a_pass(products_by(2.0)), changed(MODULE, needed=True))
    assert message.startswith("the case says that the rule is needed, and the export works without it")


def test_not_needed_though_it_is() -> None:
    message = says(decomposing(1), changed(NEEDED, needed=False))
    assert message.startswith("without the rule the export fails: torch.onnx cannot translate")


def test_random_though_not() -> None:
    message = says(a_pass(products_by(2.0)), changed(MODULE, random=True))
    assert message.startswith("the case says that builds without the rule differ, and two of them agree")


def test_random_and_still_random() -> None:
    case = Case("random", Drawing, ((2, 3),), random=True)
    assert "against float64" in says(a_pass(lambda *_: 1), case)
