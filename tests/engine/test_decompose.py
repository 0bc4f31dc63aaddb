"""Running a program through lowering rules, and what is evaluated beforehand."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from engine_examples import make_rule
from torch import Tensor, nn

from onnx_demucs_compiler import CompilerError, compile, default
from onnx_demucs_compiler.errors import InternalError
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.rules import RULE_KEY, Refusal, Rule, Site, Stage
from onnx_demucs_compiler.rules.ruleset import RuleSet
from onnx_demucs_compiler.stages.decompose import lower

aten = torch.ops.aten


class Function(nn.Module):
    """A function of one tensor as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def lowering(name: str, op: Any, implementation: Callable[..., Any], **changes: Any) -> Rule:
    return make_rule(name, Stage.DECOMPOSE, ops=(op,), implementation=implementation, **changes)


def lowered(module: nn.Module, *rules: Rule, shape: tuple[int, ...] = (2, 8)) -> tuple[Any, Recorder]:
    recorder = Recorder()
    program = torch.export.export(module, (torch.randn(shape),), strict=False)
    return lower(program, tuple(rules), recorder), recorder


def operators(program: Any) -> list[str]:
    return [str(node.target) for node in program.graph.nodes if node.op == "call_function"]


def negated_twice(site: Site, x: Tensor) -> Tensor:
    return x.neg().neg().relu()


def test_a_rule_replaces_the_operator() -> None:
    rule = lowering("relu-by-neg", aten.relu.default, lambda site, x: x.clamp(min=0))
    module = Function(lambda x: x.relu() + 1)
    program, recorder = lowered(module, rule)
    assert operators(program) == ["aten.clamp.default", "aten.add.Tensor"]
    assert recorder.fires("relu-by-neg") == 1
    x = torch.randn(2, 8)
    assert torch.equal(program.module()(x), module(x))


def test_constants_of_rules_and_of_the_model_keep_apart() -> None:
    """Either trace counts those that it finds, from nought."""
    offset, scale = [1.0] * 8, [float(n) for n in range(8)]
    rule = lowering("relu-and-more", aten.relu.default, lambda site, x: x.clamp(min=0) + torch.tensor(offset))
    program, _ = lowered(nn.Sequential(Function(lambda x: x.relu() * torch.tensor(scale))), rule)
    x = torch.randn(2, 8)
    wanted = (x.relu() + torch.tensor(offset)) * torch.tensor(scale)
    assert torch.equal(program.run_decompositions({}).module()(x), wanted)


@pytest.mark.parametrize(
    "viewed",
    [
        lambda x: x.view(4, 4),
        lambda x: x.view(-1),
        lambda x: x.contiguous().view(16),
        lambda x: x.reshape(4, 2, 2),
        lambda x: x.flatten(),
        lambda x: x.view_as(torch.zeros(16)),
        lambda x: aten._unsafe_view(x, [16]),
        lambda x: aten._reshape_alias(x, [4, 4], [4, 1]),
        lambda x: x.as_strided((4, 4), (3, 1), 1),
    ],
)
def test_a_rule_may_lay_out_its_result_as_it_likes(viewed: Callable[[Tensor], Tensor]) -> None:
    """A view that ATen could take is recorded as one."""
    rule = lowering("relu-by-columns", aten.relu.default, lambda site, x: x.t().contiguous().clamp(min=0).t())
    module = Function(lambda x: viewed(x.relu()) + 1)
    program, recorder = lowered(module, rule)
    assert recorder.fires("relu-by-columns") == 1
    x = torch.randn(2, 8)
    assert torch.equal(program.module()(x), module(x))


def test_elements_are_read_by_stride_as_they_lay_in_memory() -> None:
    module = Function(lambda x: (x + 1).t().as_strided((4, 4), (3, 1)))
    program, _ = lowered(module)
    x = torch.randn(2, 8)
    assert torch.equal(program.module()(x), module(x))


def fails(site: Site, x: Tensor) -> Tensor:
    raise ValueError("nothing of the kind\nand more")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (fails, r"rule broken fails on aten\.relu\.default \(nothing of the kind\)"),
        (lambda site, x: x[:, :3], r"aten\.add\.Tensor cannot be lowered \(.+\)"),
    ],
)
def test_what_fails_in_the_second_trace_is_named_with_its_line(rule: Any, message: str) -> None:
    module = Function(lambda x: x.relu() + x)
    with pytest.raises(InternalError) as error:
        lowered(module, lowering("broken", aten.relu.default, rule))
    line = r"test_decompose\.py:\d+: return self\.function\(x\)"
    assert re.fullmatch(rf"{message}; the model calls it at {line}", str(error.value)), error.value


def test_what_fails_before_the_second_trace_is_named_with_its_line() -> None:
    module = Function(lambda x: x + torch.arange(3.0)[torch.tensor([7])])
    with pytest.raises(
        CompilerError, match=r"^aten\.index\.Tensor cannot be computed beforehand \(index 7 is"
    ) as error:
        lowered(module)
    assert "test_decompose.py:" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_refusal_falls_through_to_the_next_rule_and_then_to_the_operator() -> None:
    refusing = lowering("first", aten.relu.default, lambda site, x: Refusal("not now"))
    indifferent = lowering("second", aten.relu.default, lambda site, x: NotImplemented)
    taking = lowering("third", aten.relu.default, lambda site, x: x.clamp(min=0))
    program, recorder = lowered(Function(torch.relu), refusing, indifferent, taking)
    assert operators(program) == ["aten.clamp.default"]
    assert [(event.rule, event.reason) for event in recorder.events] == [
        ("first", "not now"),
        ("third", None),
    ]

    program, recorder = lowered(Function(torch.relu), refusing, indifferent)
    assert operators(program) == ["aten.relu.default"]
    assert recorder.fires("first") == recorder.fires("second") == 0


def test_events_name_the_node_and_the_line() -> None:
    rule = lowering("relu-by-neg", aten.relu.default, lambda site, x: x.clamp(min=0))
    _, recorder = lowered(Function(lambda x: x.relu()), rule)
    [event] = recorder.events
    assert event.node == "relu"
    assert event.source.startswith("test_decompose.py:")
    assert "return self.function(x)" in event.source


def test_nodes_of_a_rule_carry_its_name() -> None:
    rule = lowering("in-two-steps", aten.relu.default, negated_twice)
    program, recorder = lowered(Function(lambda x: x.relu().exp()), rule)
    made_by = {
        str(node.target): (node.meta.get("custom") or {}).get(RULE_KEY)
        for node in program.graph.nodes
        if node.op == "call_function"
    }
    assert made_by == {
        "aten.neg.default": "in-two-steps",
        "aten.relu.default": "in-two-steps",
        "aten.exp.default": None,
    }
    assert recorder.costs["in-two-steps"].nodes == 3 - 1


def test_the_name_survives_into_onnx() -> None:
    rule = lowering("in-two-steps", aten.tanh.default, lambda site, x: x.neg().sigmoid())
    module = Function(lambda x: x.tanh().exp())
    model = compile(module, RuleSet([rule]), example_input=torch.randn(2, 8), verify=False).model
    made_by = {node.op_type: node.name.partition("/")[0] for node in model.graph.node}
    assert made_by == {"Neg": "in-two-steps", "Sigmoid": "in-two-steps", "Exp": "model"}


def test_static_arguments_reach_a_rule_as_numbers() -> None:
    seen: dict[str, Any] = {}

    def look(site: Site, *args: Any) -> Any:
        seen.update(site.static)
        return NotImplemented

    module = Function(lambda x: x * (torch.arange(8.0) + torch.arange(8.0) + 1))
    lowered(module, lowering("looks", aten.mul.Tensor, look))
    assert list(seen) == ["other"]
    assert seen["other"].tolist() == [1, 3, 5, 7, 9, 11, 13, 15]


def test_an_argument_that_depends_on_the_input_is_not_static() -> None:
    seen: list[Any] = []
    rule = lowering(
        "looks", aten.mul.Tensor, lambda site, *_: seen.append(dict(site.static)) or NotImplemented
    )
    lowered(Function(lambda x: x * x.sum()), rule)
    assert seen == [{}]


def test_what_no_input_reaches_is_folded() -> None:
    module = Function(lambda x: x + torch.arange(8.0).sin().flip(0))
    program, _ = lowered(module)
    x = torch.randn(2, 8)
    torch.testing.assert_close(program.module()(x), module(x), rtol=0, atol=0)
    compiled = compile(module, RuleSet([]), example_input=x)
    assert [node.op_type for node in compiled.model.graph.node] == ["Add"]


def test_rules_are_not_asked_about_what_was_folded() -> None:
    rule = lowering("sine", aten.sin.default, lambda site, x: x.cos())
    program, recorder = lowered(Function(lambda x: x + torch.arange(8.0).sin().flip(0)), rule)
    assert recorder.fires("sine") == 0
    assert operators(program) == ["aten.add.Tensor"]


def test_writing_in_place_does_not_fool_the_folding() -> None:
    def accumulate(x: Tensor) -> Tensor:
        total = torch.zeros(8)
        total += x[0]
        return total * 2

    module = Function(accumulate)
    program, _ = lowered(module)
    x = torch.randn(2, 8)
    torch.testing.assert_close(program.module()(x), accumulate(x), rtol=0, atol=0)


def test_weights_are_not_stored_twice() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(64, 64))

        def forward(self, x: Tensor) -> Tensor:
            return x @ (self.weight * 2) + x @ self.weight

    program, _ = lowered(Scaled(), shape=(2, 64))
    stored = [*program.state_dict.values(), *program.constants.values()]
    assert sum(tensor.numel() for tensor in stored) == 64 * 64


def test_a_small_constant_that_is_expanded_stays_small() -> None:
    module = Function(lambda x: x + torch.arange(512.0)[:, None].expand(512, 4096))
    program, _ = lowered(module, shape=(512, 4096))
    stored = [*program.state_dict.values(), *program.constants.values()]
    assert sum(tensor.numel() for tensor in stored) <= 512


def test_a_complex_operator_that_no_rule_knows() -> None:
    module = Function(lambda x: torch.linalg.eigvals(x.reshape(4, 4)).real)
    with pytest.raises(CompilerError) as error:
        compile(module, default, example_input=torch.randn(2, 8))
    message = str(error.value)
    assert "\n" not in message
    assert "aten.linalg_eig.default" in message
    assert "test_decompose.py:" in message
    assert "return self.function(x)" in message


def test_complex_arithmetic_without_any_rules() -> None:
    module = Function(lambda x: torch.view_as_complex(x.reshape(2, 4, 2)).abs())
    with pytest.raises(CompilerError, match=r"no rule lowers aten\.view_as_complex\.default"):
        compile(module, RuleSet([]), example_input=torch.randn(2, 8))


def test_a_complex_output_is_refused() -> None:
    module = Function(lambda x: torch.view_as_complex(x.reshape(2, 4, 2)))
    with pytest.raises(CompilerError, match="returns a complex tensor.*view_as_real"):
        compile(module, default, example_input=torch.randn(2, 8))


def test_a_complex_constant_as_output_is_refused_too() -> None:
    module = Function(lambda x: (x, torch.ones(2, dtype=torch.complex64)))
    with pytest.raises(CompilerError, match="returns a complex tensor"):
        compile(module, default, example_input=torch.randn(2, 8))
