"""How sets of rules compose."""

from typing import Any

import pytest
import torch
from engine_examples import make_rule

from onnx_demucs_compiler import UsageError
from onnx_demucs_compiler.rules import Rule, Stage
from onnx_demucs_compiler.rules.ruleset import RuleSet
from onnx_demucs_compiler.targets import ORT, PORTABLE, WEB, Target

aten = torch.ops.aten


def names(rules: RuleSet) -> list[str]:
    return [rule.name for rule in rules]


def translation(name: str, *ops: Any, targets: set[Target] | None = None) -> Rule:
    changes = {"targets": frozenset(targets)} if targets else {}
    return make_rule(name, Stage.TRANSLATE, ops=ops, **changes)


@pytest.fixture
def rules() -> RuleSet:
    return RuleSet(
        [
            make_rule("glu-split", Stage.REWRITE, tags=frozenset({"gating"})),
            make_rule("glu-merge", Stage.REWRITE, tags=frozenset({"gating"})),
            make_rule("stft-as-matmul", Stage.DECOMPOSE, tags=frozenset({"spectral"})),
        ]
    )


def test_order_is_stage_then_after_then_name() -> None:
    rules = RuleSet(
        [
            make_rule("a", Stage.SURGERY),
            make_rule("d", Stage.REWRITE),
            make_rule("c", Stage.REWRITE, after=("d",)),
            make_rule("b", Stage.REWRITE, after=("c",)),
            make_rule("e", Stage.REWRITE),
            make_rule("z", Stage.SUBSTITUTE),
        ]
    )
    assert names(rules) == ["z", "d", "c", "b", "e", "a"]


def test_order_does_not_depend_on_the_order_of_arrival(rules: RuleSet) -> None:
    assert names(RuleSet(reversed(list(rules)))) == names(rules)
    assert names(rules) == ["stft-as-matmul", "glu-merge", "glu-split"]


def test_after_a_rule_that_is_not_in_the_set() -> None:
    assert names(RuleSet([make_rule("a", after=("absent",))])) == ["a"]


def test_after_a_rule_of_another_stage_changes_nothing() -> None:
    early, late = make_rule("early", Stage.REWRITE, after=("late",)), make_rule("late", Stage.SURGERY)
    assert names(RuleSet([early, late])) == ["early", "late"]


def test_union(rules: RuleSet) -> None:
    extra = make_rule("extra")
    assert names(rules | extra) == [*names(rules), "extra"]
    assert names(rules | RuleSet([extra])) == [*names(rules), "extra"]
    assert "extra" not in rules


def test_union_with_rules_of_its_own(rules: RuleSet) -> None:
    assert rules | rules == rules
    assert rules | rules["glu-split"] == rules


def test_union_with_another_rule_of_the_same_name(rules: RuleSet) -> None:
    with pytest.raises(UsageError, match=r"two rules are named glu-split: .*engine_examples.*override"):
        rules | make_rule("glu-split", why="Mine.")


def test_difference(rules: RuleSet) -> None:
    assert names(rules - "glu-split") == ["stft-as-matmul", "glu-merge"]
    assert names(rules - "gating") == ["stft-as-matmul"]
    assert names(rules - "glu-*") == ["stft-as-matmul"]
    assert names(rules - ["glu-split", "spectral"]) == ["glu-merge"]
    assert names(rules - []) == names(rules)


def test_only(rules: RuleSet) -> None:
    assert names(rules.only("spectral")) == ["stft-as-matmul"]
    assert names(rules.only("glu-split", "gating")) == ["glu-merge", "glu-split"]
    assert names(rules.only("*-as-*", "glu-s*")) == ["stft-as-matmul", "glu-split"]
    assert names(rules.only()) == []


@pytest.mark.parametrize("change", ["only", "__sub__", "__getitem__"])
def test_unknown_names_are_refused_with_a_suggestion(change: str, rules: RuleSet) -> None:
    with pytest.raises(UsageError, match=r"'glu-splt' in this set; did you mean glu-split\?"):
        getattr(rules, change)("glu-splt")


def test_a_name_like_no_other_lists_what_there_is(rules: RuleSet) -> None:
    with pytest.raises(UsageError, match=r"known: gating, glu-merge, glu-split, spectral, stft-as-matmul"):
        rules - "qqq"


def test_a_glob_that_matches_nothing_is_refused(rules: RuleSet) -> None:
    with pytest.raises(UsageError, match="istft-"):
        rules - "istft-*"


def test_override(rules: RuleSet) -> None:
    mine = make_rule("glu-split", Stage.REWRITE, why="Mine.")
    changed = rules.override(mine)
    assert changed["glu-split"] is mine
    assert names(changed) == names(rules)
    assert rules["glu-split"] is not mine


def test_overriding_what_is_not_there(rules: RuleSet) -> None:
    with pytest.raises(UsageError, match=r"did you mean glu-split\?"):
        rules.override(make_rule("glu-spilt"))


def test_duplicates_are_refused() -> None:
    with pytest.raises(UsageError, match="two rules are named twin"):
        RuleSet([make_rule("twin", Stage.REWRITE), make_rule("twin", Stage.SURGERY)])


def test_circles_are_refused() -> None:
    circle = [make_rule("a", after=("b",)), make_rule("b", after=("c",)), make_rule("c", after=("a",))]
    with pytest.raises(UsageError, match="cycle: ") as error:
        RuleSet(circle)
    assert {"a", "b", "c"} <= set(str(error.value).replace("→", " ").split())


def test_a_rule_after_itself_is_refused() -> None:
    with pytest.raises(UsageError, match="cycle: a → a"):
        RuleSet([make_rule("a", after=("a",))])


def test_two_translations_of_one_operator_are_refused() -> None:
    one = translation("one", aten.relu.default, aten.gelu.default)
    two = translation("two", aten.gelu.default, targets={ORT, WEB})
    with pytest.raises(UsageError, match=r"one and two both translate aten.gelu.default for target ort"):
        RuleSet([one, two])


def test_translations_for_different_targets_or_operators_are_fine() -> None:
    portable = translation("portable", aten.gelu.default, targets={PORTABLE, WEB})
    ort = translation("ort", aten.gelu.default, targets={ORT})
    other = translation("other", aten.relu.default)
    rules = RuleSet([portable, ort, other])
    assert rules.stage(Stage.TRANSLATE, PORTABLE) == (other, portable)
    assert rules.stage(Stage.TRANSLATE, ORT) == (ort, other)


def test_two_decompositions_of_one_operator_are_fine() -> None:
    first, second = make_rule("first", Stage.DECOMPOSE), make_rule("second", Stage.DECOMPOSE)
    assert len(RuleSet([first, second])) == 2


def test_a_stage_holds_its_own_rules_only(rules: RuleSet) -> None:
    assert [rule.name for rule in rules.stage(Stage.REWRITE, WEB)] == ["glu-merge", "glu-split"]
    assert rules.stage(Stage.SURGERY, WEB) == ()


def test_looking_into_a_set(rules: RuleSet) -> None:
    assert "glu-split" in rules
    assert "glu-splt" not in rules
    assert len(rules) == 3
    assert repr(rules) == "RuleSet(stft-as-matmul, glu-merge, glu-split)"
    assert hash(rules) == hash(RuleSet(rules))


def test_sets_that_differ_in_a_rule_are_not_equal(rules: RuleSet) -> None:
    assert rules.override(make_rule("glu-split", Stage.REWRITE)) != rules
