"""The order of rules: by stage, by ``after``, and by name only where two rules commute."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import onnx
import pytest
import torch
from engine_examples import make_rule
from thoroughly import thorough
from torch import nn

from onnx_demucs_compiler import UsageError, compile
from onnx_demucs_compiler.rules import Stage, ruleset
from onnx_demucs_compiler.rules.order import check_selectors, in_order, predecessors
from onnx_demucs_compiler.rules.ruleset import RuleSet, bundled, default_rules
from onnx_demucs_rules.examples import small_htdemucs
from onnx_demucs_rules.recurrent.examples import Recurrence


def names(*rules: Any) -> list[str]:
    return [rule.name for rule in in_order(rules)]


def test_a_rule_goes_after_a_tag_or_a_glob() -> None:
    spectral = make_rule("z", tags=frozenset({"spectral"}))
    assert names(make_rule("a", after=("spectral",)), spectral) == ["z", "a"]
    assert names(make_rule("a", after=("z*",)), make_rule("b"), spectral) == ["b", "z", "a"]
    assert names(make_rule("a", after=("*",)), make_rule("b"), spectral) == ["b", "z", "a"]


def test_ties_go_by_name_or_the_other_way_round() -> None:
    rules = [make_rule("b"), make_rule("a"), make_rule("c", after=("a",))]
    assert names(*rules) == ["a", "b", "c"]
    assert [rule.name for rule in in_order(rules, descending=True)] == ["b", "a", "c"]


def test_a_tag_of_its_own_leaves_a_rule_out() -> None:
    last = make_rule("last", tags=frozenset({"x"}), after=("x",))
    assert predecessors(last, [last, make_rule("first", tags=frozenset({"x"}))]) == ["first"]


@pytest.mark.parametrize("selector", ["absent", "b*", "other-stage"])
def test_what_a_rule_goes_after_has_to_exist_in_its_stage(selector: str) -> None:
    rule = make_rule("a", Stage.SURGERY, after=(selector,))
    known = [rule, make_rule("other-stage", Stage.REWRITE)]
    with pytest.raises(UsageError, match="rule a goes after '.*', and no surgery rule has that name"):
        check_selectors([rule], known)


def test_bundled_rules_go_after_rules_that_exist() -> None:
    check_selectors(bundled(), bundled())


def small_hdemucs() -> nn.Module:
    from demucs.hdemucs import HDemucs

    module: nn.Module = HDemucs(
        ["a", "b"], channels=8, nfft=64, depth=2, dconv_lstm=1, samplerate=8000, segment=0.256
    )
    return module


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (small_htdemucs, {"target": "ort", "two_stems": "vocals"}),
        thorough(small_htdemucs, {"track": True}),
        thorough(small_hdemucs, {"precision": "fp16-weights", "track": True}),
    ],
    ids=["ort-two-stems", "track", "recurrent-fp16-track"],
)
def test_rules_that_nothing_orders_commute(
    build: Callable[[], nn.Module], options: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = build()
    forwards = canonical(compile(module, verify=False, **options).model.graph)
    monkeypatch.setattr(ruleset, "in_order", partial(in_order, descending=True))
    reversed_ties = RuleSet(default_rules())
    assert list(reversed_ties) != list(default_rules())
    assert canonical(compile(module, reversed_ties, verify=False, **options).model.graph) == forwards


@pytest.mark.parametrize("options", [{"precision": "fp16-weights"}, {"precision": "fp32"}])
def test_states_of_zeros_are_dropped_before_weights_are_stored(options: Mapping[str, Any]) -> None:
    compiled = compile(Recurrence(), example_input=torch.randn(7, 20, 5), verify=False, **options)
    [layer] = [node for node in compiled.model.graph.node if node.op_type == "LSTM"]
    assert len(layer.input) < 6
    assert {cost.rule: cost.fires for cost in compiled.report.costs}["drop-zero-state"] == 1


def test_states_of_zeros_are_dropped_before_the_body_of_a_track_is_made() -> None:
    compiled = compile(small_hdemucs(), verify=False, track=True)
    assert {cost.rule: cost.fires for cost in compiled.report.costs}["drop-zero-state"] > 0


def canonical(graph: onnx.GraphProto, known: Mapping[str, str] | None = None) -> list[str]:
    """The nodes of a graph in order, with values called by where they come from and not by their names."""
    calls = dict(known or {}) | {item.name: content(item) for item in graph.initializer}
    calls |= {item.name: f"input {index}" for index, item in enumerate(graph.input)}
    lines = []
    for index, node in enumerate(graph.node):
        inputs = [calls[name] if name else "" for name in node.input]
        lines.append(f"{node.domain}.{node.op_type}{inputs}{sorted(attributes(node, calls))}")
        calls |= {name: f"{index}.{position}" for position, name in enumerate(node.output)}
    return [*lines, f"outputs {[calls[item.name] for item in graph.output]}"]


def attributes(node: onnx.NodeProto, known: Mapping[str, str]) -> Iterator[str]:
    for item in node.attribute:
        body = canonical(item.g, known) if item.HasField("g") else None
        yield f"{item.name}: {body or item.SerializeToString(deterministic=True)!r}"


def content(tensor: onnx.TensorProto) -> str:
    values = onnx.numpy_helper.to_array(tensor)
    return f"{values.dtype}{list(values.shape)} {hashlib.sha256(values.tobytes()).hexdigest()}"
