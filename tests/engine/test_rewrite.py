"""Rewriting ONNX subgraphs, translating operators, and operating on whole graphs."""

from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from engine_examples import make_rule, two_stems
from onnxscript import opset18 as op
from onnxscript.rewriter import MatchResult, RewriteRuleSet
from onnxscript.rewriter.pattern import RewriteRuleClassBase
from torch import nn

from onnx_demucs_compiler import CompilerError, compile, default
from onnx_demucs_compiler.errors import InternalError
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.rules import RULE_KEY, Refusal, Stage
from onnx_demucs_compiler.rules.ruleset import RuleSet
from onnx_demucs_compiler.stages.driver import apply_rules
from onnx_demucs_compiler.stages.matching import by_operator
from onnx_demucs_compiler.stages.rewrite import apply_rewrites
from onnx_demucs_compiler.stages.surgery import surgeon
from onnx_demucs_compiler.tracing.source import SCOPES, STACK_TRACE

aten = torch.ops.aten

GRAPH = """
<ir_version: 8, opset_import: ["" : 18]>
chain (float[4] x) => (float[4] y) {
    a = Neg(x)
    b = Neg(a)
    c = Abs(b)
    d = Neg(c)
    y = Neg(d)
}
"""


class NegatedTwice(RewriteRuleClassBase):
    """``Neg(Neg(x))`` → ``x · 1``, unless x is the input."""

    def pattern(self, op: Any, x: Any) -> Any:
        return op.Neg(op.Neg(x))

    def check(self, _: Any, x: ir.Value, **__: Any) -> MatchResult:
        result = MatchResult()
        return result.fail("this is the input") if x.is_graph_input() else result

    def rewrite(self, op: Any, x: ir.Value) -> Any:
        return op.Mul(x, op.Constant(value_float=1.0))


def negated_twice() -> Any:
    return make_rule("negated-twice", Stage.REWRITE, implementation=NegatedTwice)


def test_a_pattern_is_tried_where_its_last_operator_is() -> None:
    tried = []

    pattern = NegatedTwice.rule()
    rewrite = pattern.try_rewrite

    def told(model: ir.Model, graph: Any, node: ir.Node, **options: Any) -> Any:
        tried.append(node.op_type)
        return rewrite(model, graph, node, **options)

    pattern.try_rewrite = told
    model = ir.from_onnx_text(GRAPH)
    assert RewriteRuleSet([by_operator(pattern)]).apply_to_model(model) == 1
    assert tried == ["Neg"] * len(tried)


def test_a_pattern_lets_go_of_the_graph() -> None:
    pattern = NegatedTwice.rule()
    tried = by_operator(pattern)
    assert RewriteRuleSet([tried]).apply_to_model(ir.from_onnx_text(GRAPH)) == 1
    assert hasattr(tried._matcher, "_graph")
    assert not hasattr(pattern._matcher, "_graph")


def types(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_firings_and_refusals_are_recorded() -> None:
    model, recorder = ir.from_onnx_text(GRAPH), Recorder()
    apply_rewrites(model, (negated_twice(),), Options(), recorder)
    assert types(model) == ["Neg", "Neg", "Abs", "Mul"]
    assert [event.reason for event in recorder.events] == ["this is the input", None]
    cost = recorder.costs["negated-twice"]
    assert (cost.fires, cost.refusals, cost.nodes) == (1, 1, -1)


def test_a_refusal_of_a_later_round_is_recorded_once() -> None:
    """The product is there from the second round on, and refused in that and in the third."""

    class Doubled(NegatedTwice):
        def pattern(self, op: Any, x: Any) -> Any:
            return op.Mul(x, op.Constant(value_float=1.0))

        def check(self, *_: Any, **__: Any) -> MatchResult:
            return MatchResult().fail("not this one")

    class Both:
        patterns = (Doubled, NegatedTwice)

    text = GRAPH.replace("c = Abs(b)", "c = Neg(b)").replace("float[4] y)", "float[4] y, float[4] b)")
    model, recorder = ir.from_onnx_text(text), Recorder()
    apply_rewrites(model, (make_rule("both", Stage.REWRITE, implementation=Both),), Options(), recorder)
    outcomes = [(event.node, event.reason) for event in recorder.events]
    assert len(outcomes) == len(set(outcomes))
    assert outcomes[-1][1] == "not this one"


def test_looking_for_refusals_leaves_nothing_behind() -> None:
    """A node made for a trial and left outside of the graph would count as a use of its inputs."""

    class Never(NegatedTwice):
        def check(self, _: Any, x: ir.Value, **__: Any) -> MatchResult:
            return MatchResult() if not x.uses() else MatchResult().fail(f"{len(x.uses())} use")

    model, recorder = ir.from_onnx_text(GRAPH), Recorder()
    apply_rewrites(model, (make_rule("never", Stage.REWRITE, implementation=Never),), Options(), recorder)
    apply_rewrites(model, (negated_twice(),), Options(), Recorder())
    assert [event.reason for event in recorder.events] == ["1 use", "1 use"]
    assert all(use.node.graph is model.graph for node in model.graph for value in node.outputs
               for use in value.uses())  # fmt: skip


def test_a_rule_of_several_patterns_is_one_rule() -> None:
    class Absolute(RewriteRuleClassBase):
        """``Abs(x)`` → ``Max(x, -x)``."""

        def pattern(self, op: Any, x: Any) -> Any:
            return op.Abs(x)

        def rewrite(self, op: Any, x: ir.Value) -> Any:
            return op.Max(x, op.Neg(x))

    class Both:
        patterns = (NegatedTwice, Absolute)

    model, recorder = ir.from_onnx_text(GRAPH), Recorder()
    apply_rewrites(model, (make_rule("both", Stage.REWRITE, implementation=Both),), Options(), recorder)
    assert types(model) == ["Neg", "Neg", "Neg", "Max", "Mul"]
    assert recorder.costs["both"].fires == 2


def test_nodes_of_a_rewrite_carry_its_name() -> None:
    model = ir.from_onnx_text(GRAPH)
    apply_rewrites(model, (negated_twice(),), Options(), Recorder())
    made_by = [node.metadata_props.get(RULE_KEY) for node in model.graph]
    assert made_by == [None, None, None, "negated-twice"]


def test_a_pass_refuses_or_says_how_often_it_fired() -> None:
    model, recorder = ir.from_onnx_text(GRAPH), Recorder()
    rules = (
        make_rule("fires", implementation=lambda model, options: 2),
        make_rule("idle", implementation=lambda model, options: 0),
        make_rule("refuses", implementation=lambda model, options: Refusal(f"not for {options.target}")),
    )
    apply_rules(model, rules, Options(), recorder)
    assert [(event.rule, event.node, event.reason) for event in recorder.events] == [
        ("fires", "graph", None),
        ("fires", "graph", None),
        ("refuses", "graph", "not for portable"),
    ]


def test_a_rule_that_raises_is_named() -> None:
    def broken(*_: Any) -> int:
        raise LookupError("no such node")

    rule = make_rule("a-broken-rule", implementation=broken)
    with pytest.raises(InternalError, match="rule a-broken-rule fails: no such node; raised at test_rewrite"):
        apply_rules(ir.from_onnx_text(GRAPH), (rule,), Options(), Recorder())


def test_a_pass_tells_on_what_it_fired() -> None:
    model, recorder = ir.from_onnx_text(GRAPH), Recorder()
    model.graph[2].name = "absolute"
    model.graph[2].metadata_props[STACK_TRACE] = 'File "/a/model.py", line 12, in forward\n  x.abs()'
    model.graph[2].metadata_props[SCOPES] = "['', 'encoder.1', 'abs']"
    rule = make_rule(implementation=lambda model, options: [model.graph[2], model.graph[2].outputs[0]])
    apply_rules(model, (rule,), Options(), recorder)
    assert [(event.node, event.source, event.module) for event in recorder.events] == [
        ("absolute", "model.py:12: x.abs()", "encoder.1"),
        ("c", "model.py:12: x.abs()", "encoder.1"),
    ]


def test_surgery_keeps_what_nodes_say_of_themselves() -> None:
    model = ir.from_onnx_text(GRAPH)
    for index, node in enumerate(model.graph):
        node.name = f"node_{index}"
        node.metadata_props[RULE_KEY] = f"rule-{index}"
    with surgeon(model) as edited:
        edited.nodes[2].op = "Ceil"
    assert types(model) == ["Neg", "Neg", "Ceil", "Neg", "Neg"]
    assert [node.metadata_props[RULE_KEY] for node in model.graph] == [f"rule-{index}" for index in range(5)]


def test_a_translation_is_used_and_stamped() -> None:
    def relu_by_max(x: ir.Value) -> Any:
        return op.Max(x, op.Constant(value_float=0.0))

    rule = make_rule("relu-by-max", Stage.TRANSLATE, implementation=relu_by_max)
    compiled = compile(nn.ReLU(), RuleSet([rule]), example_input=torch.randn(2, 8))
    [node] = compiled.model.graph.node
    assert (node.op_type, node.name) == ("Max", "relu-by-max/Max_0")
    assert compiled.metadata.rules == ("relu-by-max",)


def test_a_translation_that_refuses_leaves_the_operator_to_torch_onnx() -> None:
    def refuse(node: Any) -> Refusal:
        return Refusal("not here")

    rule = make_rule("relu-by-max", Stage.TRANSLATE, implementation=lambda x: x, guard=refuse)
    compiled = compile(nn.ReLU(), RuleSet([rule]), example_input=torch.randn(2, 8))
    assert [node.op_type for node in compiled.model.graph.node] == ["Relu"]
    [event] = compiled.report.events
    assert (event.rule, event.reason) == ("relu-by-max", "not here")


def test_an_operator_without_translation() -> None:
    class Digamma(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.entr(x) + torch.igamma(x.abs() + 1, x.abs())

    with pytest.raises(CompilerError, match="torch.onnx cannot translate the model: .*igamma") as error:
        compile(Digamma(), example_input=torch.rand(2, 8))
    assert "\n" not in str(error.value)


def test_a_translation_that_is_wrong_is_caught() -> None:
    rule = make_rule("wrong", Stage.TRANSLATE, ops=(aten.convolution.default, aten.conv1d.default),
                     implementation=lambda x, *rest: op.Conv(x, rest[0], pads=[1, 1]))  # fmt: skip
    with pytest.raises(CompilerError, match="parity failed: speech on .* below the gate of 100 dB"):
        compile(two_stems(), default | rule)


def test_the_bundled_rules_fire_on_htdemucs(compiled: Any) -> None:
    fired = set(compiled.metadata.rules)
    assert {"stft-as-matmul", "istft-as-matmul", "complex-as-real-pairs", "attention-as-matmul"} <= fired
    prefixes = {node.name.partition("/")[0] for node in compiled.model.graph.node}
    assert {"stft-as-matmul", "istft-as-matmul", "complex-as-real-pairs", "attention-as-matmul"} <= prefixes
    assert prefixes <= fired | {"model"}
    assert not any(node.metadata_props for node in compiled.model.graph.node)
    assert len({node.name for node in compiled.model.graph.node}) == len(compiled.model.graph.node)


def test_no_source_line_or_path_is_left_in_the_artifact(compiled: Any) -> None:
    data = compiled.model.SerializeToString()
    assert b"site-packages" not in data
    assert b".py" not in data
    assert np.frombuffer(data, np.uint8).size == compiled.report.bytes


class NearlyNothing(nn.Module):
    """Arithmetic that is too small to see and must not be dropped."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x * (1 + 4e-6), x / (1 + 4e-6), x * 0 + 5e-9, x * 0 - 5e-9])


def test_factors_near_1_and_summands_near_0_are_kept() -> None:
    x = torch.ones(1, 4)
    compiled = compile(NearlyNothing(), example_input=x, verify=False)
    session = ort.InferenceSession(compiled.model.SerializeToString())
    [output] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_array_equal(output, NearlyNothing()(x).numpy())
