"""Every form of the pack is built by something, and looked for."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.report import Recorder
from onnx_demucs_compiler.rules import EXACT, Case, NodeSite, NotMine, RuleSet, rewrite
from onnx_demucs_compiler.rules.ruleset import bundled
from onnx_demucs_compiler.stages.driver import apply_rule
from onnx_demucs_compiler.stages.surgery import rule_of
from onnx_demucs_compiler.testing import attempt, case_source
from onnx_demucs_rules import forms
from onnx_demucs_rules.attention.examples import CrossAttention
from onnx_demucs_rules.gating.examples import Gated

FORMS = [name for name, form in vars(forms).items() if inspect.isfunction(form)]


def gelu(op: Any, x: Any, root: Any, one: Any, half: Any) -> Any:
    return forms.gelu(op, x, {"root": root, "one": one, "half": half}.__getitem__)


BUILT: dict[str, tuple[Callable[..., Any], Case, str | None]] = {
    "attended": (
        forms.attended,
        Case("cross", CrossAttention, ((1, 4, 30, 8), (1, 4, 50, 8))),
        "attention-as-matmul",
    ),
    "gelu": (gelu, Case("exact", nn.GELU, ((2, 40, 32),)), "gelu-for-fusion"),
    "gated": (forms.gated, Case("one-dimension", Gated, ((1, 3, 64),)), None),
}
"""The form as a pattern, a model that has it, and the rule that builds it; ``None`` is torch.onnx."""


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_built(name: str) -> None:
    pattern, case, maker = BUILT[name]
    found: list[str | None] = []

    def decide(site: NodeSite) -> NotMine:
        found.append(rule_of(site.node))
        return NotMine()

    looks = rewrite(pattern, decide=decide, name="looks", why="Because.", numerics=EXACT,
                    cases=[case, Case("silent", nn.ReLU, ((2,),), fires=0)])(lambda *_: None)  # fmt: skip
    source, options = case_source(case)
    chosen = RuleSet([bundled()[maker]] if maker else [])
    outcome = attempt(source, source.example(), chosen, options)
    assert outcome.model is not None, outcome.error
    apply_rule(outcome.model, looks, Options(), Recorder())
    assert found == [maker]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_looked_for(name: str) -> None:
    patterns = [rule.pattern for rule in bundled() if rule.pattern is not None]
    assert any(name in pattern.__code__.co_names for pattern in patterns)
