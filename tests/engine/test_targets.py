"""What the targets may use, and that each gives the same stems."""

from collections import Counter

import numpy as np
import onnxruntime as ort
import pytest
import torch

from onnx_demucs_compiler import CompiledModel, compile
from onnx_demucs_compiler.fidelity import snr_db
from onnx_demucs_compiler.loading.lively import make_lively
from onnx_demucs_compiler.runtime.session import session_options
from onnx_demucs_rules.examples import small_htdemucs

DOMAINS = {"portable": {""}, "ort": {"", "com.microsoft"}}
# t_layers=2: self-attention and cross-attention, in either branch.
ATTENTIONS = 4


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    module = small_htdemucs(t_layers=2)
    make_lively(module, 1)
    return module


@pytest.fixture(scope="module")
def targets(model: torch.nn.Module) -> dict[str, CompiledModel]:
    return {target: compile(model, target=target) for target in DOMAINS}


@pytest.mark.parametrize("target", DOMAINS)
def test_operators(targets: dict[str, CompiledModel], target: str) -> None:
    proto = targets[target].model
    assert {node.domain for node in proto.graph.node} == DOMAINS[target]
    assert {entry.domain for entry in proto.opset_import} == DOMAINS[target]
    found = Counter(node.op_type for node in proto.graph.node)
    fused = target == "ort"
    assert (found["MultiHeadAttention"], found["Softmax"]) == ((ATTENTIONS, 0) if fused else (0, ATTENTIONS))
    assert targets[target].metadata.target == target


def test_the_same_stems(targets: dict[str, CompiledModel]) -> None:
    mix = np.random.default_rng(0).standard_normal((1, 2, 4096), np.float32)
    stems = {}
    for target, compiled in targets.items():
        session = ort.InferenceSession(compiled.model.SerializeToString(), session_options(threads=1))
        [stems[target]] = session.run(None, {"mix": mix})
    assert snr_db(stems["portable"].astype(np.float64), stems["ort"]) > 110


@pytest.mark.parametrize("options", [{"track": True}, {"batch": "dynamic"}, {"stems": ("vocals",)}])
def test_fused_attention_goes_with_other_options(model: torch.nn.Module, options: dict[str, object]) -> None:
    compiled = compile(model, target="ort", **options)  # type: ignore[arg-type]
    assert compiled.report.operators["MultiHeadAttention"] == ATTENTIONS
