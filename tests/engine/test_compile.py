"""``compile()`` as a caller meets it: what it refuses, what it leaves alone, what it says."""

import copy
import json
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import demucs.hdemucs
import demucs.transformer
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from engine_examples import TwoStems, shallow_htdemucs, two_stems
from torch import Tensor, nn

from onnx_demucs_compiler import CompiledModel, CompilerError, UsageError, compile, default
from onnx_demucs_compiler.checking.fidelity import FidelityError
from onnx_demucs_compiler.cli.display import STEPS
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.rules.ruleset import RuleSet


class Never(nn.Module):
    """Fails the test that gets as far as looking at it."""

    def __deepcopy__(self, _: Any) -> "Never":
        raise AssertionError("work was begun before the options were checked")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("target", "gpu", "target=gpu is not a value it takes; use portable, ort, web, openvino"),
        (
            "interface",
            "Waveform",
            "interface=Waveform is not a value it takes; use waveform, core, spectral, openkara",
        ),
        ("precision", "fp64", "precision=fp64 is not a value it takes; use fp32, fp16-weights, int8"),
        ("opset", 16, "opset=16 is not a value it takes; use 17, 18,"),
        ("opset", 27, "opset=27 is not a value it takes; use 17, 18,"),
        ("opset", "18", "opset='18' is not a value it takes; use 17, 18,"),
        ("batch", 0, "batch=0 is not a value it takes; use a whole number from 1, or dynamic"),
        ("batch", True, "batch=True is not a value it takes; use a whole number from 1, or dynamic"),
        ("batch", "1", "batch='1' is not a value it takes; use a whole number from 1, or dynamic"),
        ("length", 0, "length=0 is not a value it takes; use segment, dynamic, a number of samples"),
        ("length", True, "length=True is not a value it takes; use segment, dynamic"),
        ("length", "1024", "length=1024 is not a value it takes; use segment, dynamic"),
        ("track", 0, "track=0 is not a value it takes; use False"),
        ("overlap", 1.0, "overlap=1.0 is not a value it takes; use one from 0 to below 1"),
        ("stems", (), "stems= names no stem, or one twice"),
        ("stems", ("vocals", "vocals"), "stems=vocals,vocals names no stem, or one twice"),
        ("other_method", "none", "other_method=none is not a value it takes; use add, minus"),
    ],
)
def test_options_that_cannot_be_had(option: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        compile(Never(), **{option: value})
    assert str(error.value).startswith(message)


def test_options_have_the_defaults_of_compile(compiled: CompiledModel) -> None:
    assert compiled.report.options == vars(Options(sources=("drums", "vocals")))


def everything(module: nn.Module) -> dict[str, Any]:
    """Whatever a compile could change on a module."""
    return {
        **{name: (id(value), value.dtype, value.requires_grad) for name, value in module.named_parameters()},
        **{f"{name}.training": child.training for name, child in module.named_modules()},
        **{f"{name}.{key}": value for name, child in module.named_modules()
           for key, value in vars(child).items() if not key.startswith("_")},
    }  # fmt: skip


def test_the_model_is_not_changed() -> None:
    module = shallow_htdemucs(t_sin_random_shift=3).double().train()
    pad1d, embedding = demucs.hdemucs.pad1d, demucs.transformer.create_2d_sin_embedding
    before, weights = everything(module), copy.deepcopy(module.state_dict())
    compile(module, verify=False)
    assert everything(module) == before
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())
    assert isinstance(module.segment, Fraction)
    assert module.crosstransformer.sin_random_shift == 3
    assert demucs.hdemucs.pad1d is pad1d
    assert demucs.transformer.create_2d_sin_embedding is embedding


def test_demucs_is_put_back_when_the_trace_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> None:
        assert demucs.hdemucs.pad1d is not pad1d
        raise RuntimeError("no trace today")

    pad1d = demucs.hdemucs.pad1d
    for name in ("export", "draft_export"):
        monkeypatch.setattr(torch.export, name, failing)
    with pytest.raises(CompilerError, match="torch.export cannot trace HTDemucs: no trace today"):
        compile(shallow_htdemucs())
    assert demucs.hdemucs.pad1d is pad1d


def test_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    compile(two_stems())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_dropout_is_off_although_the_model_is_training() -> None:
    module = nn.Sequential(two_stems(), nn.Dropout(0.9)).train()
    compiled = compile(module, example_input=torch.randn(1, 2, 800))
    assert {node.op_type for node in compiled.model.graph.node} == {"Conv", "Reshape"}


def test_the_graph_computes_what_the_model_computes(compiled: CompiledModel, htdemucs: nn.Module) -> None:
    session = ort.InferenceSession(compiled.model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [(port.name, port.shape) for port in session.get_inputs()] == [("mix", [1, 2, 4096])]
    assert [(port.name, port.shape) for port in session.get_outputs()] == [("stems", [1, 2, 2, 4096])]
    mix = torch.randn(1, 2, 4096, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        expected = htdemucs(mix).numpy()
    [stems] = session.run(None, {"mix": mix.numpy()})
    assert np.abs(stems - expected).max() < 1e-4 * np.abs(expected).max()


def test_metadata(compiled: CompiledModel, htdemucs: nn.Module) -> None:
    facts = compiled.metadata
    assert facts.sources == ("drums", "vocals")
    assert (facts.sample_rate, facts.audio_channels, facts.segment) == (8000, 2, 4096)
    assert (facts.interface, facts.precision, facts.target) == ("waveform", "fp32", "portable")
    assert facts.model == "HTDemucs"
    assert len(facts.weights) == 64
    assert set(facts.rules) <= {rule.name for rule in default}
    assert dict(facts.versions)["torch"] == torch.__version__
    written = {item.key: item.value for item in compiled.model.metadata_props}
    assert written == facts.to_props()
    assert json.loads(written["sources"]) == ["drums", "vocals"]


def test_the_licence_of_weights_is_what_the_user_says(compiled: CompiledModel) -> None:
    assert compiled.metadata.weights_license == ""
    small = compile(Doubled(), example_input=torch.zeros(1, 2, 64), weights_license="CC-BY-NC-4.0")
    assert {item.key: item.value for item in small.model.metadata_props}["license"] == "CC-BY-NC-4.0"
    with pytest.raises(UsageError, match="in one line of text"):
        compile(Doubled(), weights_license="a\nb")


class Doubled(nn.Module):
    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        return mix + mix


def test_the_portable_artifact_keeps_to_plain_onnx(compiled: CompiledModel) -> None:
    model = compiled.model
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version == 8
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    assert (model.producer_name, model.graph.name) == ("onnx-demucs-compiler", "HTDemucs")
    onnx.checker.check_model(model, full_check=True)


def test_steps_are_announced_in_order() -> None:
    steps: list[str] = []
    compiled = compile(two_stems(), on_step=steps.append)
    assert steps == list(compiled.report.seconds)
    only_some = {"convert", "quantise", "profile", "write"}
    assert steps == [step for step in STEPS if step not in only_some]


def test_a_model_that_is_not_demucs() -> None:
    class Sum(nn.Module):
        def forward(self, one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
            return one + two.sum(), one * 2

    compiled = compile(Sum(), example_input=(torch.randn(3, 4), torch.randn(5)))
    assert [len(port.type.tensor_type.shape.dim) for port in compiled.model.graph.input] == [2, 1]
    assert {item.output for item in compiled.report.fidelity} == {"output 0", "output 1"}
    assert (compiled.metadata.sources, compiled.metadata.sample_rate) == ((), 0)


def test_integers_and_booleans_as_inputs() -> None:
    class Embedding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(10, 4)

        def forward(self, index: Tensor, mask: Tensor) -> Tensor:
            return self.table(index) * mask[:, None]

    index, mask = torch.tensor([1, 7, 3]), torch.tensor([True, False, True])
    assert compile(Embedding(), example_input=(index, mask)).report.fidelity


def test_a_model_that_does_not_say_what_it_takes() -> None:
    with pytest.raises(UsageError, match="Linear does not say what it takes .*give example_input"):
        compile(nn.Linear(4, 4))


def error_of(module: Any, **options: Any) -> str:
    """The one line with which compiling fails."""
    with pytest.raises(CompilerError) as error:
        compile(module, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("module", "example", "message"),
    [
        (lambda: nn.Linear(4, 4), torch.randn(2, 5), "Linear: forward fails on float32 [2, 5] ("),
        (lambda: nn.Linear(4, 4), torch.zeros(2, 4, dtype=torch.long), "forward fails on int64 [2, 4] ("),
        (lambda: nn.Bilinear(1, 1, 1), torch.randn(2, 1), "Bilinear: forward fails on float32 [2, 1] ("),
        (two_stems, torch.randn(1, 3, 800), "TwoStems: forward fails on float32 [1, 3, 800] ("),
    ],
)
def test_an_input_that_the_model_does_not_take(
    module: Callable[[], nn.Module], example: Tensor, message: str
) -> None:
    text = error_of(module(), example_input=example)
    assert text.startswith(message) or message in text
    assert text.endswith("give what it takes as example_input")


def test_a_model_that_cannot_be_traced() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if x.sum() > 0 else x

    message = error_of(Branching(), example_input=torch.randn(3))
    assert message.startswith("the numbers of an input decide what runs")
    assert message.endswith("return x * 2 if x.sum() > 0 else x")


def test_a_model_whose_output_is_no_tensor() -> None:
    class Silent(nn.Module):
        def forward(self, x: Tensor) -> str:
            return "la la la"

    error_of(Silent(), example_input=torch.randn(3))


def test_below_the_gate_nothing_comes_out() -> None:
    with pytest.raises(FidelityError, match=r"reaches .* dB SNR .* below the gate of 500 dB") as error:
        compile(nn.Sequential(two_stems(), nn.Tanh()), example_input=torch.randn(1, 2, 800), min_snr_db=500)
    assert {item.signal for item in error.value.measurements} == {"noise", "song", "silence"}


def test_without_verification_there_is_no_gate() -> None:
    report = compile(two_stems(), verify=False, min_snr_db=500).report
    assert (report.fidelity, report.min_snr_db) == ((), None)


def test_signals_of_ones_own_are_measured_too() -> None:
    report = compile(two_stems(), extra_signals={"mine": torch.ones(1, 2, 800)}).report
    measured = [(item.signal, item.output) for item in report.fidelity]
    assert measured == [
        (signal, stem) for signal in ("noise", "song", "silence", "mine") for stem in ("speech", "noise")
    ]


class Broken(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.factor


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_what_is_not_finite_does_not_pass(factor: float) -> None:
    assert "parity failed" in error_of(Broken(factor), example_input=torch.randn(1, 2, 8))


def test_a_model_that_draws_random_numbers_does_not_pass() -> None:
    class Dithered(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + 0.1 * torch.rand(8)

    error_of(Dithered(), example_input=torch.randn(1, 2, 8))


@pytest.mark.parametrize("rules", [RuleSet([]), default])
def test_rules_are_what_the_caller_says(rules: RuleSet) -> None:
    report = compile(two_stems(), rules).report
    assert {cost.rule for cost in report.costs} <= {rule.name for rule in rules}
    assert ("waveform-interface" in {cost.rule for cost in report.costs}) == bool(len(rules))


def test_constants_beside_the_weights_are_counted(compiled: CompiledModel, htdemucs: nn.Module) -> None:
    report = compiled.report
    stored = sum(len(onnx.numpy_helper.to_array(item).tobytes()) for item in compiled.model.graph.initializer)
    weights = sum(value.numel() * 4 for value in htdemucs.parameters())
    assert report.constant_bytes == stored - weights
    assert report.nodes == len(compiled.model.graph.node) == sum(report.operators.values())
    assert 0 <= compile(two_stems(), stems=("speech",), verify=False).report.constant_bytes < 200


def test_a_half_precision_model_is_compiled_in_full() -> None:
    module = two_stems()
    full = compile(copy.deepcopy(module).half().float())
    half = compile(module.half())
    assert full.model.SerializeToString() == half.model.SerializeToString()
    assert module.convolution.weight.dtype == torch.float16


def test_names_and_weights_tell_models_apart() -> None:
    one, two = two_stems(), TwoStems()
    assert compile(one).metadata.weights != compile(two).metadata.weights
