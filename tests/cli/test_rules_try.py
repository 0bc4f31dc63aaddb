"""``onnx-demucs rules try``: a model without a rule and with it, side by side."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cli_examples import fails_cleanly, run, strict_json, succeeds
from torch import nn

from onnx_demucs_compiler.errors import CompilerError
from onnx_demucs_compiler.loading import from_module
from onnx_demucs_compiler.observe.trial import first_case, try_rule, whole_model
from onnx_demucs_compiler.rules import GraphCase, Rule
from onnx_demucs_compiler.rules.ruleset import bundled


def row(printed: str, heading: str) -> list[str]:
    [found] = [line for line in printed.splitlines() if line.startswith(f"│ {heading} ")]
    return [cell.strip() for cell in found.strip("│").split("│")][1:]


def test_both_graphs_of_the_rules_first_case() -> None:
    printed = succeeds(run("rules", "try", "glu-as-two-convolutions"))
    assert printed.startswith("glu-as-two-convolutions on Gated\n")
    assert row(printed, "fires") == ["", "1"]
    assert row(printed, "Conv") == ["1", "2"]
    assert row(printed, "Split") == ["1", "0"]
    assert row(printed, "Sigmoid") == ["1", "1"]
    for heading in ("nodes", "kB", "SNR (dB)", "milliseconds"):
        assert all(float(figure) > 0 for figure in row(printed, heading)), heading


def test_json() -> None:
    trial = strict_json(succeeds(run("rules", "try", "fp16-weights", "--json")))
    without, with_rule = trial["without"], trial["with_rule"]
    assert (trial["rule"], trial["model"], trial["fires"]) == ("fp16-weights", "Linear", 1)
    assert with_rule["operators"] == without["operators"] | {"Cast": 1}
    assert with_rule["bytes"] < without["bytes"]
    assert with_rule["milliseconds"] > 0


def test_a_rule_that_the_export_needs() -> None:
    printed = succeeds(run("rules", "try", "stft-as-matmul"))
    assert row(printed, "MatMul") == ["", "3"]
    assert row(printed, "nodes")[0] == ""
    assert printed.splitlines()[-1].startswith("without the rule: no rule lowers aten._fft_r2c")


def test_a_rule_without_which_the_graph_gives_something_else() -> None:
    trial = try_rule(bundled()["track-in-one-call"], first_case(bundled()["track-in-one-call"], bundled()))
    assert trial.without.nodes > 0
    assert trial.without.error
    assert trial.with_rule.snr_db > 100


def test_a_model_of_ones_own(checkpoint: Path) -> None:
    printed = succeeds(run("rules", "try", "waveform-interface", "--model", checkpoint))
    assert printed.startswith("waveform-interface on two\n")
    assert row(printed, "fires") == ["", "1"]


def test_a_model_on_which_the_rule_does_not_fire(checkpoint: Path) -> None:
    wants = "glu-as-two-convolutions does not fire on two: nothing in it is what the rule looks for"
    fails_cleanly(run("rules", "try", "glu-as-two-convolutions", "--model", checkpoint), 1, wants)


def test_the_reasons_of_a_rule_that_does_not_fire() -> None:
    source = from_module(nn.GELU("tanh"), example_input=torch.zeros(1, 4))
    rule = bundled()["gelu-for-fusion"]
    with pytest.raises(
        CompilerError, match=r"does not fire on GELU: the approximation by tanh .* \(1 times\)"
    ):
        try_rule(rule, whole_model(rule, source))


def test_wrong_requests(checkpoint: Path) -> None:
    fails_cleanly(run("rules", "try"), 2, "say which rule to try")
    fails_cleanly(run("rules", "try", "glu-as-2-convolutions"), 2, "did you mean glu-as-two-convolutions?")
    fails_cleanly(run("rules", "try", "speed"), 2, "no rule, tag or glob 'speed'")
    fails_cleanly(run("rules", "try", "gelu-for-fusion", "--model", "missing.th"), 1, "missing.th")
    fails_cleanly(run("rules", "--model", checkpoint), 2, "--model goes with 'rules try'")


def test_a_rule_is_tried_for_its_own_target_and_precision() -> None:
    source = from_module(nn.Linear(4, 4), example_input=torch.zeros(1, 4))
    fused, half = bundled()["attention-as-one-operator"], bundled()["fp16-weights"]
    assert whole_model(fused, source).options.target == "ort"
    assert whole_model(half, source).options.precision == "fp16-weights"
    assert whole_model(bundled()["stft-as-matmul"], source).options.target == "portable"
    assert "fp16-weights" not in whole_model(half, source).beside


@pytest.mark.parametrize("rule", bundled(), ids=lambda rule: rule.name)
def test_every_rule_has_a_model_to_be_tried_on(rule: Rule) -> None:
    assert first_case(rule, bundled()).source.example_inputs


def test_a_rule_whose_cases_are_graphs_alone() -> None:
    whole = bundled()["drop-zero-state"]
    rule = replace(whole, cases=tuple(case for case in whole.cases if isinstance(case, GraphCase)))
    with pytest.raises(CompilerError, match=r"no case with a module in which it fires; name a model"):
        first_case(rule, bundled())
