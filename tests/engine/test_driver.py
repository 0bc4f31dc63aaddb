"""The driver of rules: sites, signatures, and invariants."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from engine_examples import make_rule
from onnxscript.rewriter.pattern import RewriteRuleClassBase

from onnx_demucs_compiler import CompilerError, UsageError
from onnx_demucs_compiler.graph.shapes import infer_shapes
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.rules import RULE_KEY, GraphSite, NodeSite, NotMine, Refusal, Rule, Stage
from onnx_demucs_compiler.stages.driver import apply_rule, apply_rules
from onnx_demucs_compiler.targets import ORT

GRAPH = """
<ir_version: 8, opset_import: ["" : 18]>
clipped (float[4] x) => (float[4] y) <float low = {0}, float six = {6}>
{
    a = Relu(x)
    b = Clip(a, low, six)
    c = Relu(b)
    y = Clip(c, "", six)
}
"""

LOOPED = """
<ir_version: 8, opset_import: ["" : 18]>
looped (float[4] x) => (float[4] y) <int64 often = {2}, bool go = {1}>
{
    y = Loop<body = round (int64 n, bool on, float[4] a) => (bool on, float[4] b)
        { b = Relu(a) }>(often, go, x)
}
"""


def graph() -> ir.Model:
    model = ir.from_onnx_text(GRAPH)
    infer_shapes(model)
    for number, node in enumerate(model.graph):
        node.name = f"node_{number}"
    return model


def types(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def events(recorder: Recorder) -> list[tuple[str, str | None]]:
    return [(event.node, event.reason) for event in recorder.events]


def any_relu(op: Any, x: Any) -> Any:
    return op.Relu(x)


def rewriting(**changes: Any) -> Rule:
    """``Relu(x)`` to ``Max(x, 0)``, but for what the test says."""
    facts = {
        "pattern": any_relu,
        "decide": lambda site: None,
        "implementation": lambda op, site, facts: op.Max(site["x"], op.Constant(value_float=0.0)),
    }
    return make_rule("relu-as-max", Stage.REWRITE, **(facts | changes))


@dataclass(frozen=True)
class Limits:
    low: float | None
    high: float


def bounded(site: NodeSite) -> Limits | Refusal | NotMine:
    if site.get("min") is None:
        return Refusal("it has no lower limit")
    low, high = site.static("min"), site.static("max")
    return NotMine() if low is None or high is None else Limits(low.item(), high.item())


def operating(name: str = "on-clips", **changes: Any) -> Rule:
    return make_rule(name, Stage.SURGERY, **({"decide": bounded, "on": ("Clip",)} | changes))


def test_facts_go_from_decide_to_build() -> None:
    """They are decided once for each match, and of no rule's state."""
    asked = []

    def decide(site: NodeSite) -> str:
        asked.append(site.node.name)
        return f"{site.node.name} of {site.shape('x')}"

    def build(op: Any, site: NodeSite, facts: str) -> Any:
        assert facts == f"{site.node.name} of (4,)"
        return op.Max(site["x"], op.Constant(value_float=0.0))

    model, recorder = graph(), Recorder()
    apply_rules(model, (rewriting(decide=decide, implementation=build),), Options(), recorder)
    assert types(model) == ["Max", "Clip", "Max", "Clip"]
    assert asked == ["node_0", "node_2"]
    assert events(recorder) == [("node_0", None), ("node_2", None)]


def test_a_match_names_what_the_pattern_names() -> None:
    def pattern(op: Any, x: Any, low: Any, high: Any) -> Any:
        return op.Relu(op.Clip(x, low, high, _outputs=["clipped"]))

    def decide(site: NodeSite) -> Refusal:
        assert (site.node.name, site.origin.node) == ("node_2", "node_2")
        assert site.maker("clipped").name == "node_1"
        assert [site.shape(name) for name in ("x", "low")] == [(4,), ()]
        assert (site.static("high"), site.static("x")) == (np.float32(6), None)
        assert site.get("nothing") is None
        with pytest.raises(KeyError, match="no node computes low"):
            site.maker("low")
        return Refusal(f"not for {site.options.target}")

    recorder = Recorder()
    apply_rules(graph(), (rewriting(pattern=pattern, decide=decide),), Options(target="ort"), recorder)
    assert events(recorder) == [("node_2", "not for ort")]


@pytest.mark.parametrize(("shared", "matched"), [(False, []), (True, ["node_1"])])
def test_a_pattern_of_shared_values(shared: bool, matched: list[str]) -> None:
    text = GRAPH.replace("float[4] y)", "float[4] y, float[4] a)")
    model, recorder = ir.from_onnx_text(text), Recorder()
    infer_shapes(model)
    for number, node in enumerate(model.graph):
        node.name = f"node_{number}"

    def pattern(op: Any, x: Any, low: Any, high: Any) -> Any:
        return op.Clip(op.Relu(x), low, high)

    rule = rewriting(
        pattern=pattern, shared=shared, decide=lambda site: Refusal(site.node.name) if site["low"] else None
    )
    apply_rules(model, (rule,), Options(), recorder)
    assert [reason for _, reason in events(recorder) if reason == "node_1"] == matched


def test_what_is_not_mine_is_not_told() -> None:
    model, recorder = graph(), Recorder()
    apply_rules(model, (rewriting(decide=lambda site: NotMine()),), Options(), recorder)
    assert (types(model), events(recorder)) == (["Relu", "Clip", "Relu", "Clip"], [])


def test_a_rule_on_nodes_is_asked_for_each() -> None:
    def build(site: NodeSite, limits: Limits) -> None:
        assert limits == Limits(0, 6)
        before = site.node.outputs[0]
        node = ir.node("Min", [site["input"], site["max"]])
        site.graph.insert_before(site.node, node)
        node.outputs[0].type, node.outputs[0].shape = before.type, before.shape
        before.replace_all_uses_with(node.outputs[0])

    model, recorder = graph(), Recorder()
    apply_rules(model, (operating(implementation=build),), Options(), recorder)
    assert events(recorder) == [("node_1", None), ("node_3", "it has no lower limit")]
    # What the rule has left without a use is gone, and what it has built is signed.
    assert types(model) == ["Relu", "Min", "Relu", "Clip"]
    assert [node.metadata_props.get(RULE_KEY) for node in model.graph] == [None, "on-clips", None, None]


def test_a_rule_on_nodes_is_asked_in_loops_too() -> None:
    def build(site: NodeSite, _: None) -> None:
        assert (site.graph.name, site.model.graph.name) == ("round", "looped")

    rule = operating(on=("Relu",), decide=lambda _: None, implementation=build)
    assert apply_rule(ir.from_onnx_text(LOOPED), rule, Options(), Recorder()) == 1


def test_an_operator_that_onnx_does_not_know_has_inputs_without_names() -> None:
    text = GRAPH.replace('["" : 18]', '["" : 18, "com.acme" : 1]').replace("Relu", "com.acme.Soften")
    asked: list[Any] = []
    rule = operating(on=("Soften",), decide=lambda site: asked.append(dict(site.values)) or NotMine())
    apply_rules(ir.from_onnx_text(text), (rule,), Options(), Recorder())
    assert asked == [{}, {}]


def test_a_node_that_the_rule_has_removed_is_no_site() -> None:
    def build(site: NodeSite, _: Any) -> None:
        """Drop this Relu, and all others with it."""
        for node in list(site.graph):
            if node.op_type == "Relu":
                assert node.inputs[0] is not None
                node.outputs[0].replace_all_uses_with(node.inputs[0])
                site.graph.remove(node, safe=True)

    model, recorder = graph(), Recorder()
    rule = operating(on=("Relu",), decide=lambda site: None, implementation=build)
    apply_rules(model, (rule,), Options(), recorder)
    assert events(recorder) == [("node_0", None)]


def test_a_rule_on_the_graph_is_asked_once_and_may_tell_on_what_it_fired() -> None:
    asked = []

    def decide(site: GraphSite) -> list[ir.Node]:
        asked.append(site)
        return [node for node in site.graph if node.op_type == "Relu"]

    def build(_: GraphSite, nodes: list[ir.Node]) -> list[ir.Node] | None:
        return nodes if len(asked) == 1 else None

    recorder, rule = Recorder(), operating(on=(), decide=decide, implementation=build)
    for _ in range(2):
        apply_rules(graph(), (rule,), Options(), recorder)
    assert events(recorder) == [("node_0", None), ("node_2", None), ("graph", None)]


@pytest.mark.parametrize(
    "rule", [rewriting(), operating(on=("Relu",), decide=lambda _: None, implementation=lambda *_: None)]
)
def test_a_rule_may_be_applied_a_few_times_only(rule: Rule) -> None:
    recorder = Recorder()
    assert apply_rule(graph(), rule, Options(), recorder, at_most=1) == 1
    assert events(recorder) == [("node_0", None)]
    assert apply_rule(graph(), rule, Options(), Recorder()) == 2


def complex_of(site: NodeSite, _: Any) -> None:
    node = ir.node("Cast", [site["input"]], {"to": ir.DataType.COMPLEX64})
    node.outputs[0].type = ir.TensorType(ir.DataType.COMPLEX64)
    site.graph.insert_before(site.node, node)
    site.graph.outputs.append(node.outputs[0])


def untyped(site: NodeSite, _: Any) -> None:
    node = ir.node("Concat", [site["input"], site["min"]], {"axis": 0})
    site.graph.insert_before(site.node, node)
    site.graph.outputs.append(node.outputs[0])


def contributed(op: Any, site: NodeSite, _: Any) -> Any:
    return op.Gelu(site["x"], _domain="com.microsoft", _version=1)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (rewriting(implementation=contributed),
         "rule relu-as-max builds com.microsoft.Gelu, and may use ai.onnx only"),
        (operating(implementation=complex_of),
         "rule on-clips builds a complex value by Cast, and ONNX runtimes have none"),
        (operating(implementation=untyped),
         r"rule on-clips builds Concat \(node_Concat_\d+\), whose type ONNX cannot infer"),
    ],
    ids=["domain", "complex", "untyped"],
)  # fmt: skip
def test_what_no_level_may_hold_is_an_error_that_names_the_rule(rule: Rule, told: str) -> None:
    with pytest.raises(CompilerError, match=rf"^{told}; leave it out \(--without\) and report it$"):
        apply_rules(graph(), (rule,), Options(), Recorder())


def test_a_domain_of_the_target_or_of_the_rule_is_in_order() -> None:
    for options, domains in ((Options(target=ORT.name), ()), (Options(), ("com.microsoft",))):
        model, rule = graph(), rewriting(implementation=contributed, domains=frozenset(domains))
        apply_rules(model, (rule,), options, Recorder())
        assert types(model) == ["Gelu", "Clip", "Gelu", "Clip"]


def test_what_a_rule_gives_no_type_is_inferred_for_the_check_alone() -> None:
    def build(site: NodeSite, _: Any) -> None:
        node = ir.node("Neg", [site["input"]])
        site.graph.insert_before(site.node, node)
        site.graph.outputs.append(node.outputs[0])

    model = graph()
    apply_rules(model, (operating(implementation=build),), Options(), Recorder())
    assert model.graph.outputs[-1].type is None


class Again(RewriteRuleClassBase):  # type: ignore[misc]
    """``Relu(x)`` → ``Relu(Relu(x))``."""

    def pattern(self, op: Any, x: Any) -> Any:
        return op.Relu(x)

    def rewrite(self, op: Any, x: ir.Value) -> Any:
        return op.Relu(op.Relu(x))


@pytest.mark.parametrize(
    "changes",
    [
        {"implementation": lambda op, site, _: op.Relu(op.Neg(site["x"]))},
        {"pattern": None, "decide": None, "implementation": Again},
    ],
    ids=["function", "class"],
)
def test_a_rule_that_feeds_on_itself_is_stopped_by_name(changes: dict[str, Any]) -> None:
    told = r"rule relu-as-max would fire for ever: it matches what it has built, 101 times over \(.*\); it "
    with pytest.raises(CompilerError, match=told) as error:
        apply_rules(graph(), (rewriting(**changes),), Options(), Recorder())
    assert "\n" not in str(error.value)


def chain(length: int) -> Iterator[str]:
    yield f'<ir_version: 8, opset_import: ["" : 18]> chain (float[4] x0) => (float[4] x{length}) {{'
    yield from (f"x{number + 1} = {'Neg' if number else 'Relu'}(x{number})" for number in range(length))
    yield "}"


def test_a_rule_that_works_its_way_down_a_long_graph_is_not_stopped() -> None:
    """It fires on its own result, once for each node."""
    model, recorder = ir.from_onnx_text("\n".join(chain(150))), Recorder()
    infer_shapes(model)
    rule = rewriting(
        pattern=lambda op, x: op.Neg(op.Relu(x)),
        implementation=lambda op, site, _: op.Relu(op.Abs(site["x"])),
    )
    apply_rules(model, (rule,), Options(), recorder)
    assert recorder.fires(rule.name) == 149


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pattern": any_relu}, "has a pattern, and no `decide` that looks at its matches"),
        ({"on": ("Relu",)}, "names operators, and no `decide` that looks at their nodes"),
        ({"stage": Stage.DECOMPOSE, "decide": bounded}, "a decompose rule decides in its one function"),
        ({"stage": Stage.REWRITE, "decide": bounded}, "a rewrite rule is asked about a pattern; give one"),
        ({"shared": True}, "a surgery rule has no pattern; `on` names the operators"),
    ],
)
def test_who_names_sites_decides(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        make_rule(**changes)
