"""Any module compiles faithfully or is refused in one line; nothing but our own errors is raised."""

import math
import re
import subprocess
import sys

import front_door_modules
import numpy as np
import onnx
import pytest
import spectral_modules
import torch
from module_cases import ModuleCase
from torch import nn

from onnx_demucs_compiler import CompilerError, UsageError, compile
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import open_session, run_eager
from onnx_demucs_compiler.stages import finish

CASES = front_door_modules.CASES | spectral_modules.CASES


def assert_says(error: CompilerError, wanted: str) -> None:
    """One line, word for word but for what ``…`` stands for."""
    pattern = ".*".join(re.escape(part) for part in wanted.split("…"))
    assert re.fullmatch(pattern, str(error)), f"{error}\nis not\n{wanted}"


def assert_parity(case: ModuleCase) -> None:
    """Against the user's own module, which the compiler's reference is only a copy of."""
    module = case.module()
    compiled = case.compile(module)
    session = open_session(compiled.model)
    feeds = {
        port.name: value.detach().numpy()
        for port, value in zip(session.get_inputs(), case.inputs(), strict=True)
    }
    outputs, reference = session.run(None, feeds), run_eager(module.float(), case.inputs())
    assert [output.shape for output in outputs] == [wanted.shape for wanted in reference]
    for output, wanted in zip(outputs, reference, strict=True):
        assert output.dtype == wanted.dtype
        assert np.array_equal(output, wanted) or snr_db(wanted, output) >= case.min_snr_db
    measured = compiled.report.fidelity
    assert {item.signal for item in measured} == {"noise", "song", "silence"}
    assert min((item.snr_db for item in measured if not item.silent), default=0) >= case.min_snr_db


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_compiles_faithfully_or_says_why_not(case: ModuleCase) -> None:
    if case.error is None:
        assert_parity(case)
        return
    with pytest.raises(CompilerError) as raised:
        case.compile(case.module())
    assert_says(raised.value, case.error)


def test_what_runs_in_a_trace_leaves_nothing_behind() -> None:
    case = CASES["PackedWeights"]
    module = case.module()
    case.compile(module)
    assert module.cache == {}
    assert all(weight.requires_grad for weight in module.parameters())


def test_the_report_says_what_the_example_decided() -> None:
    case = CASES["NumbersFromTensors"]
    lines = case.compile(case.module()).report.decided
    assert [line.partition(": ")[2] for line in lines] == [
        "axes = torch.arange(1, x.ndim).tolist()",
        "kept = int(torch.tensor([3, 40]).max())",
        "layer = self.layers[0] if self.gain > 0 else self.layers[1]",
    ]
    plain = CASES["Spectrogram"]
    assert plain.compile(plain.module()).report.decided == ()


@pytest.mark.parametrize("example", [np.zeros((1, 8), np.float32), {"x": torch.zeros(1, 8)}, [1.0]])
def test_an_example_that_is_no_tensor(example: object) -> None:
    with pytest.raises(UsageError) as raised:
        compile(nn.Linear(8, 8), example_input=example)
    assert_says(raised.value, "example_input holds a …; give a tensor for each argument of forward")


@pytest.mark.parametrize(
    ("example", "kind"), [(torch.zeros(1, 8, device="meta"), "meta"), (torch.eye(8).to_sparse(), "sparse")]
)
def test_an_example_without_numbers_or_with_gaps(example: torch.Tensor, kind: str) -> None:
    with pytest.raises(UsageError) as raised:
        compile(nn.Linear(8, 8), example_input=example)
    assert_says(raised.value, f"example_input holds a {kind} tensor; give a dense one with numbers")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_become_float32(dtype: torch.dtype) -> None:
    compiled = compile(nn.Linear(8, 8).to(dtype), example_input=torch.rand(1, 8, dtype=dtype))
    [mix] = compiled.model.graph.input
    assert mix.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_outputs_that_are_not_finite(recwarn: pytest.WarningsRecorder) -> None:
    class Divides(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / 0

    with pytest.raises(CompilerError) as raised:
        compile(Divides(), example_input=torch.rand(1, 8))
    assert_says(
        raised.value, "parity failed: output 0 on noise is in part NaN or infinite, as the model's own is"
    )
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


@pytest.mark.parametrize("min_snr_db", [math.nan, math.inf, -math.inf])
def test_a_gate_that_is_none(min_snr_db: float) -> None:
    with pytest.raises(UsageError) as raised:
        compile(nn.Linear(8, 8), example_input=torch.rand(1, 8), min_snr_db=min_snr_db)
    assert_says(raised.value, f"--min-snr {min_snr_db} is not a gate; give a number of dB")


def test_more_weights_than_a_file_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Linear(256, 512, bias=False)
    monkeypatch.setattr(finish, "LARGEST", 512 * 1024)
    with pytest.raises(CompilerError) as raised:
        compile(module, example_input=torch.randn(1, 256))
    assert_says(
        raised.value,
        "Linear has 0.00 GiB of weights and constants, and one ONNX file holds at most 0 GiB; halve them by "
        "precision fp16-weights, or compile a smaller model",
    )
    assert compile(module, example_input=torch.randn(1, 256), precision="fp16-weights").report.bytes < 300_000


DEMUCS_IS_ANOTHER = """
import sys, types
sys.modules["demucs"] = types.ModuleType("demucs")
import torch
from onnx_demucs_compiler import CompilerError, compile
print(compile(torch.nn.Conv1d(1, 1, 3), example_input=torch.randn(1, 1, 64)).report.operators)
try:
    compile("untrained:htdemucs")
except CompilerError as error:
    print(error)
"""


def test_another_package_registers_itself_as_demucs() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", DEMUCS_IS_ANOTHER], capture_output=True, text=True, check=True
    )
    operators, message = finished.stdout.splitlines()
    assert operators == "{'Conv': 1}"
    assert message == (
        "demucs cannot be imported (ModuleNotFoundError: No module named 'demucs.api'; 'demucs' is not a "
        "package); the module of that name is nothing, so import demucs before the package that takes "
        "its name, or give the module itself"
    )
