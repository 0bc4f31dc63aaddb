"""A planted rule that is wrong is told by name, in every stage."""

import re
from typing import Any

import onnx_ir as ir
import pytest
import torch
from onnxscript import opset18
from onnxscript.rewriter.pattern import RewriteRuleClassBase
from torch import Tensor, nn

from onnx_demucs_compiler import CompilerError, UsageError, compile, default
from onnx_demucs_compiler.checking.fidelity import FidelityError
from onnx_demucs_compiler.rules import (
    EXACT,
    Case,
    NodeSite,
    Patch,
    Rule,
    RuleSet,
    decompose,
    graph_pass,
    rewrite,
    substitute,
    translate,
)
from onnx_demucs_compiler.tracing.source import origin_in_graph

aten = torch.ops.aten
MIX = torch.randn(1, 2, 64, generator=torch.Generator().manual_seed(0))
FACTS: dict[str, Any] = {
    "why": "Because.",
    "numerics": EXACT,
    "cases": [Case("fires", nn.ReLU, ((2, 8),)), Case("silent", nn.Tanh, ((2, 8),), fires=0)],
}


class Chain(nn.Module):
    """Four convolutions, each with its activation, and two sources."""

    def __init__(self) -> None:
        super().__init__()
        self.sources = ["speech", "noise"]
        self.samplerate, self.audio_channels, self.segment = 640, 2, 0.1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.ModuleList(
                nn.Sequential(nn.Conv1d(4 if index else 2, 4, 3, padding=1), nn.ReLU()) for index in range(4)
            )

    def forward(self, mix: Tensor) -> Tensor:
        x = mix
        for layer in self.layers:
            x = layer(x)
        return torch.tanh(x).unflatten(1, (2, 2))


def gated(*rules: Rule, **options: Any) -> str:
    """What a compile with these rules says of itself."""
    with pytest.raises(FidelityError) as failure:
        compile(Chain(), RuleSet(rules), verify_each=True, **options)
    assert "\n" not in str(failure.value)
    return str(failure.value)


@rewrite(name="relu-as-max", **FACTS)
class ReluAsMax(RewriteRuleClassBase):  # type: ignore[misc]
    """``Relu(x)`` → ``Max(x, 0)``, and in one layer, by mistake, another number."""

    def pattern(self, op: Any, x: Any) -> Any:
        return op.Relu(x)

    def rewrite(self, op: Any, x: ir.Value) -> Any:
        producer = x.producer()
        assert producer is not None
        wrong = origin_in_graph(producer).module == "layers.2.0"
        return op.Max(x, op.Constant(value_float=0.1 if wrong else 0.0))


@rewrite(name="tanh-as-quotient", **FACTS)
class TanhAsQuotient(RewriteRuleClassBase):  # type: ignore[misc]
    """A rule after the other one that is right: ``tanh(x)`` → ``Tanh(Neg(Neg(x)))``."""

    def pattern(self, op: Any, x: Any) -> Any:
        return op.Tanh(x)

    def check(self, _: Any, x: ir.Value, **__: Any) -> bool:
        producer = x.producer()
        return producer is not None and producer.op_type != "Neg"

    def rewrite(self, op: Any, x: ir.Value) -> Any:
        return op.Tanh(op.Neg(op.Neg(x)))


@graph_pass(name="less-bias", **FACTS)
def less_bias(model: ir.Model, _: Any) -> list[ir.Node]:
    """Every convolution → one without its bias."""
    nodes = [node for node in model.graph if node.op_type == "Conv" and len(node.inputs) > 2]
    for node in nodes:
        node.resize_inputs(2)
    return nodes


@graph_pass(name="same-bias", decide=lambda _: None, on=["Conv"], **FACTS)
def same_bias(site: NodeSite, _: None) -> None:
    """A convolution → itself, and in one layer, by mistake, without its bias."""
    if site.origin.module == "layers.1.0":
        site.node.resize_inputs(2)


@decompose(aten.tanh.default, name="tanh-as-itself", **FACTS)
def tanh_as_itself(_: Any, x: Tensor) -> Tensor:
    """``tanh(x)`` → the same by its definition."""
    return torch.exp(x).sub(torch.exp(-x)).div(torch.exp(x).add(torch.exp(-x)))


@decompose(aten.relu.default, name="relu-as-square", **FACTS)
def relu_as_square(_: Any, x: Tensor) -> Tensor:
    """``relu(x)`` → something else."""
    return x * x


@translate(aten.relu.default, name="relu-as-abs", **FACTS)
def relu_as_abs(x: ir.Value) -> Any:
    """``relu(x)`` → ``Abs(x)``."""
    return opset18.Abs(x)


@substitute(name="activation-left-out", **FACTS)
def activation_left_out(module: nn.Module) -> list[Patch]:
    """``tanh`` → nothing."""
    return [Patch(module.layers[1][1], "forward", lambda x: x)]


def test_the_firing_of_a_rewrite_is_found_with_its_module_and_line() -> None:
    message = gated(ReluAsMax, TanhAsQuotient)
    assert message.startswith("parity failed: ")
    fall = r"; parity fell from 1[2-9]\d to -?\d\d? dB at relu-as-max \((.*)\)$"
    [found] = re.findall(fall, message)
    assert re.fullmatch(r"firing 3 of 4, layers\.2\.1, test_blame\.py:\d+: x = layer\(x\)", found), message


def test_a_pass_is_named_with_its_firings() -> None:
    assert re.search(r" dB at less-bias \(4 firings\)$", gated(TanhAsQuotient, less_bias))


def test_the_firing_of_a_pass_on_nodes_is_found_with_its_module_and_line() -> None:
    [found] = re.findall(r" dB at same-bias \((.*)\)$", gated(TanhAsQuotient, same_bias))
    assert re.fullmatch(r"firing 2 of 4, layers\.1\.0, test_blame\.py:\d+: x = layer\(x\)", found), found


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (relu_as_square, r"relu-as-square \(decompose, 4 firings; 1\d\d dB without it\)"),
        (relu_as_abs, r"relu-as-abs \(translate, 4 firings; 1\d\d dB without it\)"),
        (activation_left_out, r"activation-left-out \(substitute, 1 firings; 1\d\d dB without it\)"),
    ],
    ids=lambda value: value.name if isinstance(value, Rule) else "",
)
def test_what_goes_wrong_before_the_graph_is_found_by_leaving_out(wrong: Rule, told: str) -> None:
    assert re.search(rf"; parity fell from .* dB at {told}$", gated(tanh_as_itself, TanhAsQuotient, wrong))


def test_the_stems_that_are_asked_for_are_no_fall() -> None:
    compiled = compile(
        Chain(), default.only("select-stems") | TanhAsQuotient, stems=("noise",), verify_each=True
    )
    moments = [parity.moment for parity in compiled.report.parity]
    assert moments == [
        "PyTorch float32", "300-translate", "400-tidy", "401-tanh-as-quotient", "402-merge",
        "501-select-stems",
    ]  # fmt: skip
    assert all(parity.snr_db > 100 for parity in compiled.report.parity)
    assert compiled.report.warnings == ()


def test_a_graph_that_is_lost_little_by_little() -> None:
    message = gated(TanhAsQuotient, min_snr_db=300)
    assert re.search(r"; no rule loses 20 dB on noise; most is lost at \S+, from 1\d\d to 1\d\d dB$", message)


def test_a_fall_that_passes_the_gate_is_a_warning() -> None:
    plain = compile(Chain(), RuleSet([ReluAsMax]), min_snr_db=-100)
    seen = compile(Chain(), RuleSet([ReluAsMax]), min_snr_db=-100, verify_each=True)
    assert plain.report.warnings == ()
    [warning] = seen.report.warnings
    assert "dB at relu-as-max (firing 3 of 4, layers.2.1, " in warning
    assert plain.model.SerializeToString() == seen.model.SerializeToString()


def test_the_rule_after_which_the_graph_is_none_any_more_is_named() -> None:
    @graph_pass(name="a-tanh-less", **FACTS)
    def a_tanh_less(model: ir.Model, _: Any) -> int:
        [node] = [node for node in model.graph if node.op_type == "Tanh"]
        node.op_type = "Thanh"
        return 1

    with pytest.raises(CompilerError, match="after a-tanh-less: ONNX Runtime cannot load the compiled graph"):
        compile(Chain(), RuleSet([a_tanh_less]), verify_each=True)


def test_measuring_needs_verification() -> None:
    with pytest.raises(UsageError, match="leave out verify=False"):
        compile(Chain(), verify_each=True, verify=False)
