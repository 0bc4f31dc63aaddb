"""What the targets may use, and that each gives the same stems."""

import inspect
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from thoroughly import thorough

from onnx_demucs_compiler import CompiledModel, CompilerError, UsageError, compile
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.contracts import CONTRACTS
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_compiler.rules import Rule
from onnx_demucs_compiler.rules.ruleset import bundled
from onnx_demucs_compiler.runtime.session import session_options
from onnx_demucs_compiler.stages.contract import held_to_contract
from onnx_demucs_compiler.targets import ORT, PORTABLE, TARGETS, Target, target_named
from onnx_demucs_rules.examples import small_htdemucs

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
TUNED = [rule for rule in bundled() if "benchmarks/ablation.py" in rule.why]
# t_layers=2: self-attention and cross-attention, in either branch.
ATTENTIONS = 4


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    module = small_htdemucs(t_layers=2)
    make_lively(module, 1)
    return module


@pytest.fixture(scope="module")
def targets(model: torch.nn.Module) -> dict[str, CompiledModel]:
    """Those that other engines measure are not measured: these need not be installed."""
    return {
        target.name: compile(model, target=target.name, verify=not target.engine)
        for target in TARGETS.values()
    }


@pytest.mark.parametrize("target", TARGETS.values(), ids=str)
def test_operators(targets: dict[str, CompiledModel], target: Target) -> None:
    proto = targets[target.name].model
    assert {node.domain or "ai.onnx" for node in proto.graph.node} == target.domains
    assert {entry.domain or "ai.onnx" for entry in proto.opset_import} == target.domains
    found = Counter(node.op_type for node in proto.graph.node)
    fused = target is ORT
    assert (found["MultiHeadAttention"], found["Softmax"]) == ((ATTENTIONS, 0) if fused else (0, ATTENTIONS))
    assert targets[target.name].metadata.target == target.name


@pytest.mark.parametrize("target", TARGETS.values(), ids=str)
def test_a_target_has_a_contract(target: Target) -> None:
    assert target.contract in CONTRACTS
    assert TARGETS[target.name] is target_named(target.name) is target


def test_a_target_that_is_none() -> None:
    with pytest.raises(UsageError, match="unknown target gpu; known: portable, ort, web, openvino"):
        target_named("gpu")


def foreign_node(name: str) -> onnx.ModelProto:
    """A model of one contrib operator, as a rule might leave it."""
    node = onnx.helper.make_node("Gelu", ["x"], ["y"], name=name, domain="com.microsoft")
    ports = [onnx.helper.make_tensor_value_info(port, onnx.TensorProto.FLOAT, [2]) for port in "xy"]
    graph = onnx.helper.make_graph([node], "g", ports[:1], ports[1:])
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("com.microsoft", 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_what_a_rule_of_ours_puts_in_against_the_contract_is_refused() -> None:
    with pytest.raises(CompilerError, match="my-rule broke the contract of target portable: operators"):
        list(held_to_contract(foreign_node("my-rule/Gelu_0"), 0, PORTABLE, {"my-rule"}))


@pytest.mark.parametrize("name", ["model/Gelu_0", "rule-of-a-plugin/Gelu_0"])
def test_what_the_model_or_a_plugin_puts_in_is_one_warning(name: str) -> None:
    [line] = held_to_contract(foreign_node(name), 0, PORTABLE, {"my-rule"})
    assert line.startswith("not what target portable promises (portable): operators of com.microsoft")
    assert list(held_to_contract(foreign_node(name), 0, ORT, {"my-rule"})) == []


def test_a_tuned_rule_names_the_benchmark_of_its_figure() -> None:
    declared = [rule for rule in bundled() if "targets=CPU_RUNTIMES" in inspect.getsource(module_of(rule))]
    assert declared
    for rule in declared:
        assert rule in TUNED or "benchmarks/forms_in_ort.py" in rule.why, rule


def module_of(rule: Rule) -> ModuleType:
    return sys.modules[rule.module_name]


@pytest.mark.parametrize("rule", TUNED, ids=repr)
def test_a_tuned_rule_gives_the_figure_of_the_ablation(rule: Rule) -> None:
    entrants = json.loads((RESULTS / "ablation.json").read_text())["entrants"]
    without, with_it = (
        entrants[name]["default_peak_rss_mb"] for name in (f"without {rule.name}", "all rules")
    )
    assert f"ONNX Runtime takes {without} MB for htdemucs without it, {with_it} with" in rule.why


def test_the_same_stems(targets: dict[str, CompiledModel]) -> None:
    mix = np.random.default_rng(0).standard_normal((1, 2, 4096), np.float32)
    stems = {}
    for target, compiled in targets.items():
        session = ort.InferenceSession(compiled.model.SerializeToString(), session_options(threads=1))
        [stems[target]] = session.run(None, {"mix": mix})
    for target in ("ort", "web", "openvino"):
        assert snr_db(stems["portable"].astype(np.float64), stems[target]) > 110


@pytest.mark.parametrize(
    "options", [thorough({"track": True}), thorough({"batch": "dynamic"}), {"stems": ("vocals",)}]
)
def test_fused_attention_goes_with_other_options(model: torch.nn.Module, options: dict[str, object]) -> None:
    compiled = compile(model, target="ort", **options)  # type: ignore[arg-type]
    assert compiled.report.operators["MultiHeadAttention"] == ATTENTIONS
