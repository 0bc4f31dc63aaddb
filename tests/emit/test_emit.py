"""What holds of every format beside ONNX, and the gate before it."""

from dataclasses import replace
from typing import Any

import pytest
from emit_examples import Halved

from onnx_demucs_compiler import CompilerError, UsageError, compile
from onnx_demucs_compiler.checking.fidelity import FidelityError
from onnx_demucs_compiler.emit import EMITTERS
from onnx_demucs_compiler.emit import pt2 as pt2_format
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.targets import EMITTED, TARGETS


def test_every_target_beside_onnx_has_an_emitter() -> None:
    assert {name: emitter.target for name, emitter in EMITTERS.items()} == EMITTED
    assert not set(EMITTED) & set(TARGETS)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("foo", "known: pt2, tflite, pte, mlpackage"),
        ("tflit", "did you mean tflite"),
        (".pt2", "did you mean pt2"),
    ],
)
def test_an_unknown_format(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"emit={name} is no format beside ONNX; {hint}"):
        Options(emit=name)


@pytest.mark.parametrize(
    "options",
    [
        {"target": "ort"},
        {"opset": 20},
        {"track": True},
        {"stems": ("vocals",)},
        {"two_stems": "vocals"},
        {"fold_weights": True},
        {"profile": True},
        {"verify_each": True},
        {"stop_after": "select-stems"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_works_on_onnx_graphs_is_refused(options: dict[str, Any]) -> None:
    [name] = options
    with pytest.raises(UsageError, match=f"{name} would .*emit=pt2|emit=pt2 .*{name} would"):
        compile("untrained:htdemucs", emit="pt2", **options)


@pytest.mark.parametrize(
    ("options", "known"),
    [
        ({"emit": "pt2", "precision": "int8"}, "fp32"),
        ({"emit": "mlpackage", "precision": "int8"}, "fp32 or fp16"),
        ({"target": "portable", "precision": "fp16"}, "fp32 or fp16-weights or int8"),
    ],
    ids=str,
)
def test_a_precision_that_a_format_has_not(options: dict[str, str], known: str) -> None:
    [(name, value), (_, precision)] = options.items()
    with pytest.raises(UsageError, match=f"{name}={value} has no precision={precision}; use {known}$"):
        Options(**options)


def test_a_size_that_a_format_fixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EMITTERS, "pt2", closed(open_sizes=False))
    with pytest.raises(UsageError, match=r"a \.pt2 has fixed sizes; give batch and length as a number"):
        compile("untrained:htdemucs", emit="pt2", batch="dynamic", length="dynamic")


def test_tools_that_are_not_installed_are_missed_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packages = {"torch": "torch", "no_such_tool": "no-such-tool"}
    monkeypatch.setitem(EMITTERS, "pt2", closed(packages=packages, extra="tools"))
    advice = r"no-such-tool cannot be found; run: python -m pip install 'onnx-demucs-compiler\[tools\]'"
    with pytest.raises(CompilerError, match=advice):
        compile("no-such-model", emit="pt2")


def closed(**changes: Any) -> Any:
    return replace(pt2_format.EMITTER, **changes)


def test_what_falls_below_the_gate_is_not_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def louder(*opened: Any) -> Any:
        run = pt2_format.open_program(*opened)
        return lambda inputs: [1.01 * output for output in run(inputs)]

    monkeypatch.setitem(EMITTERS, "pt2", closed(open=louder))
    with pytest.raises(FidelityError, match=r"reaches 40\.0 dB SNR against float64"):
        compile(Halved(), emit="pt2")


@pytest.mark.parametrize("fails", ["open", "run"])
def test_what_cannot_run_is_one_line(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> Any:
        raise ValueError("no luck")

    broken: Any = stop if fails == "open" else lambda *_: stop
    monkeypatch.setitem(EMITTERS, "pt2", closed(open=broken))
    told = {"open": r"the \.pt2 cannot be opened", "run": r"the \.pt2 cannot run"}[fails]
    with pytest.raises(CompilerError, match=rf"{told} \(no luck; raised at"):
        compile(Halved(), emit="pt2")


def test_what_no_system_here_can_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EMITTERS, "pt2", closed(open=None))
    made = compile(Halved(), emit="pt2")
    assert made.report.fidelity == ()
    assert made.report.min_snr_db is None
    [warning] = made.report.warnings
    assert warning.startswith("a .pt2 cannot run on this system")
