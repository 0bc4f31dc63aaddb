"""What a real browser made of each form, and what the contract ``web`` concludes from it."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from contract_models import model_of, node, save
from onnx import numpy_helper
from probed_forms import PROBES

from onnx_demucs_compiler.contracts import lint
from onnx_demucs_compiler.contracts.engine import REFUSED, RIGHT, WRONG, table
from onnx_demucs_compiler.contracts.web import BUFFERS, ON_THE_CPU, PROVIDERS, REMEDIES

OWN: dict[str, str] = json.loads(
    (Path(__file__).parents[2] / "benchmarks" / "browser" / "probes.json").read_text(encoding="utf-8")
)
FINE = {RIGHT, ON_THE_CPU}


def verdict(provider: str, form: str) -> str:
    return table(f"web-{provider}")[1][form]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_probe_has_a_verdict(provider: str) -> None:
    assert table(f"web-{provider}")[1].keys() == PROBES.keys() | OWN.keys(), (
        f"run benchmarks/browser/probe.py {provider}"
    )


def test_the_tables_are_of_one_release() -> None:
    assert len({table(f"web-{provider}")[0] for provider in PROVIDERS}) == 1


def test_what_a_browser_refuses_or_mistakes() -> None:
    """A change here is one of onnxruntime-web: see whether --target web still does right."""
    found = {
        (provider, form)
        for provider in PROVIDERS
        for form, verdict in table(f"web-{provider}")[1].items()
        if verdict not in FINE and form in PROBES
    }
    assert found == {("jsep", "Slice: backwards"), ("webgpu", "Slice: backwards")}


@pytest.mark.parametrize("op", ["Split", "Concat"])
def test_the_buffers_of_a_shader(op: str) -> None:
    """One of them is the whole tensor's."""
    for provider in PROVIDERS:
        assert verdict(provider, f"{op}: {BUFFERS - 1} ends") == RIGHT
    assert verdict("jsep", f"{op}: {BUFFERS} ends").startswith(WRONG)
    assert verdict("wasm", f"{op}: 14 ends") == RIGHT


def test_what_the_contract_says_of_operators() -> None:
    assert verdict("webgpu", "Split: 10 ends") == REFUSED
    assert verdict("webgpu", "com.microsoft.MultiHeadAttention").startswith(WRONG)
    assert verdict("jsep", "Conv: attributes left out") == REFUSED
    assert verdict("jsep", "Conv: attributes written out") == RIGHT
    for provider in ("jsep", "webgpu"):
        assert verdict(provider, "DynamicQuantizeLinear and MatMulInteger") == ON_THE_CPU


def test_remedies_are_for_what_is_wrong() -> None:
    wrong = {form for provider in PROVIDERS for form, told in table(f"web-{provider}")[1].items()
             if told not in FINE}  # fmt: skip
    assert REMEDIES.keys() <= wrong


def test_a_form_that_browsers_mistake(tmp_path: Path) -> None:
    model: onnx.ModelProto = model_of(node("Slice", ["a", "first", "last", "axis", "step"]), shape=(1, 8))
    for name, number in (("first", -1), ("last", -9), ("axis", 1), ("step", -1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([number]), name))
    [found] = [
        finding for finding in lint(save(model, tmp_path / "x.onnx"), ["web"])["web"] if finding.breaks
    ]
    assert found.what.startswith("Slice: backwards is wrong (")
    remedy = REMEDIES["Slice: backwards"]
    assert found.what.endswith(f"in onnxruntime-web/webgpu 1.30.0; {remedy}")
    assert found.nodes == ("the Slice",)
