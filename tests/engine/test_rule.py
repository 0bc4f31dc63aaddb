"""What the constructor of a rule rejects."""

import dataclasses
from typing import Any

import pytest
from engine_examples import FIRES, REFUSES, make_rule

from onnx_demucs_compiler import UsageError
from onnx_demucs_compiler.rules import EXACT, Case, GraphCase, Numerics, Stage, decompose, graph_pass
from onnx_demucs_compiler.targets import ORT


@pytest.mark.parametrize("name", ["a", "a-rule", "stft-2", "2d"])
def test_kebab_case_names(name: str) -> None:
    assert make_rule(name).name == name


@pytest.mark.parametrize(
    "name", ["", "A-rule", "a_rule", "a--rule", "-a", "a-", "a rule", "a.rule", "é", "a\n"]
)
def test_other_names_are_rejected(name: str) -> None:
    with pytest.raises(UsageError, match="is not kebab-case"):
        make_rule(name)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"why": ""}, "`why` is empty"),
        ({"why": " \n"}, "`why` is empty"),
        ({"targets": frozenset({ORT, "gpu"})}, "unknown target gpu; known: portable, ort, web, openvino"),
        ({"stage": Stage.DECOMPOSE, "ops": ()}, "names no ATen operator"),
        ({"stage": Stage.TRANSLATE, "ops": ()}, "names no ATen operator"),
        ({"cases": ()}, "no case in which it fires"),
        ({"cases": (REFUSES,)}, "no case in which it fires"),
        ({"cases": (FIRES,)}, "no case in which it does not fire"),
        ({"cases": (FIRES, REFUSES, FIRES)}, "two cases share a name"),
        (
            {"stage": Stage.TRANSLATE, "cases": (FIRES, REFUSES, GraphCase("a-graph", ""))},
            "a translate rule never sees an ONNX graph; replace its GraphCase by a Case",
        ),
    ],
)
def test_rules_that_nobody_could_trust(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as error:
        make_rule(**changes)
    assert str(error.value).startswith("rule a-rule: ")


def test_a_rule_with_nothing_to_refuse_needs_a_case_of_no_firing() -> None:
    silent = dataclasses.replace(REFUSES, because=None)
    assert make_rule(cases=(FIRES, silent)).cases == (FIRES, silent)


def test_a_rule_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_rule().name = "another"


def test_a_rule_can_be_a_key() -> None:
    rule, twin = make_rule(), make_rule()
    assert {rule: 1, twin: 2}[rule] == 1


def test_decorators_make_values_of_their_stage() -> None:
    facts: dict[str, Any] = {"why": "Because.", "numerics": EXACT, "cases": [FIRES, REFUSES]}

    @graph_pass(name="a-pass", tags={"x"}, after=["b"], **facts)
    def a_pass(model: Any, options: Any) -> int:
        """Nothing → nothing.

        More of it.
        """
        return 0

    @decompose("aten.one", "aten.two", name="a-lowering", **facts)
    def a_lowering(site: Any) -> None: ...

    assert (a_pass.stage, a_pass.ops, a_pass.tags, a_pass.after) == (
        Stage.SURGERY,
        (),
        frozenset({"x"}),
        ("b",),
    )
    assert a_pass.summary == "Nothing → nothing."
    assert a_pass.module_name == __name__
    assert (a_lowering.stage, a_lowering.ops) == (Stage.DECOMPOSE, ("aten.one", "aten.two"))
    assert a_lowering.summary == ""


def test_an_option_that_no_rule_has_is_rejected() -> None:
    with pytest.raises(TypeError, match="becuase"):
        graph_pass(name="a-pass", becuase="typo")(lambda model, options: 0)


def test_numerics_in_words() -> None:
    assert (str(EXACT), str(Numerics(120))) == ("exact", "≥ 120 dB")


def test_case_defaults() -> None:
    case = Case("one", make_rule, ((1,),))
    assert (case.fires, case.because, case.target) == (1, None, "portable")
