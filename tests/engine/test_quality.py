"""Promises: what they ask for, what is chosen to keep them, and how a file is held to its own."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from engine_examples import Deep, Difference, TwoStems, two_stems
from onnx import TensorProto
from products_of_bytes import exact_products_of_bytes
from torch import Tensor, nn

from onnx_demucs_compiler import CompiledModel, CompilerError, UsageError, compile, compiler, verify
from onnx_demucs_compiler.checking import quantisation
from onnx_demucs_compiler.checking.fidelity import FidelityError, Gate, Measurement
from onnx_demucs_compiler.checking.promises import CAREFUL, EXACT, FAST, PROMISES, promise_named
from onnx_demucs_compiler.graph.storage import COMPUTED, INT8, ROUNDED
from onnx_demucs_compiler.options import QUALITIES
from onnx_demucs_compiler.runtime.eight_bits import EightBits


def measured(snr_db: float, level_db: float) -> Measurement:
    """A stem of so much SNR, at a level relative to the mix."""
    return Measurement("noise", "vocals", snr_db, 120, 1e-3, False, level_db - snr_db, level_db)


def test_a_promise_for_every_quality() -> None:
    assert tuple(PROMISES) == QUALITIES
    with pytest.raises(CompilerError, match="promises the quality best, which this version does not know"):
        promise_named("best")


@pytest.mark.parametrize(
    ("measurement", "careful", "fast"),
    [
        (measured(40, -5), 0, 9),
        (measured(45, -5), 5, 14),
        (measured(39.9, -20), -0.1, 23.9),
        (measured(42, 0), -3, 6),
        (measured(30, -6), -10, 0),
        (measured(5, -41), 1, 10),
        (measured(-12, -60), 3, 12),
        (measured(-30, -60), -15, -6),
        (measured(math.inf, -5), math.inf, math.inf),
        (measured(math.nan, -5), math.nan, math.nan),
        (measured(-math.inf, -5), -math.inf, -math.inf),
        (Measurement("noise", "output 0", 44, 120, 1e-3, False), -1, 8),
    ],
)
def test_what_is_to_spare(measurement: Measurement, careful: float, fast: float) -> None:
    for promise, spare in ((CAREFUL, careful), (FAST, fast)):
        assert promise.gate.margin_db(measurement) == pytest.approx(spare, nan_ok=True)
        assert promise.gate.passes(measurement) is (spare >= 0)
        if spare < 0:
            with pytest.raises(FidelityError):
                promise.gate.check([measurement])


def test_a_silent_stem_is_held_to_its_peak_and_its_error() -> None:
    silence = Measurement("silence", "vocals", -math.inf, math.inf, 1e-7, True)
    assert FAST.gate.passes(silence)
    assert not FAST.gate.passes(replace(silence, max_abs_error=1e-5))
    beside_others = replace(silence, max_abs_error=1e-5, reference_to_mix_db=-math.inf)
    assert FAST.gate.passes(replace(beside_others, error_to_mix_db=-36))
    assert not FAST.gate.passes(replace(beside_others, error_to_mix_db=-35))


@pytest.mark.parametrize(
    ("measurement", "told"),
    [
        (
            measured(42, 0),
            "the error of vocals on noise is -42.0 dB to the mix (PyTorch float32: -120.0 dB), above the "
            "gate of -45 dB",
        ),
        (
            measured(39, -20),
            "vocals on noise reaches 39.0 dB SNR against float64 (PyTorch float32: 120.0 dB), below the gate "
            "of 40 dB",
        ),
        (measured(math.nan, 0), "vocals on noise is in part NaN or infinite"),
        (
            Measurement("noise", "output 0", 44, 120, 1e-3, False),
            "output 0 on noise reaches 44.0 dB SNR against float64 (PyTorch float32: 120.0 dB), below the "
            "gate of 45 dB",
        ),
    ],
)
def test_what_is_said_of_a_broken_promise(measurement: Measurement, told: str) -> None:
    assert CAREFUL.gate.shortfall(measurement) == told


def test_what_is_asked_for_in_words() -> None:
    assert Gate(50).words == EXACT.gate.words.replace("100", "50") == "50 dB"
    assert FAST.gate.words == "error to the mix at most -36 dB"
    assert CAREFUL.gate.words == "error to the mix at most -45 dB, 40 dB SNR for stems that are present"


class Branches(Deep):
    """The products in branches of small scale, as trained models have them."""

    def forward(self, mix: Tensor) -> Tensor:
        rows = self.first(mix).tanh().transpose(1, 2)
        rows = rows + 0.03 * self.spoilt(rows).tanh() + 0.1 * self.sound(rows).tanh()
        return self.last(self.kernel(rows.transpose(1, 2)).tanh()).unflatten(1, (2, 2))


def branches() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Branches().eval()


@pytest.fixture(scope="module")
def audio() -> dict[str, Tensor]:
    return {"one.wav": 0.3 * torch.sin(torch.arange(800) / 9).expand(1, 2, -1)}


@pytest.fixture(scope="module")
def careful(audio: Mapping[str, Tensor]) -> CompiledModel:
    return compile(branches(), target="ort", quality="careful", extra_signals=audio)


@pytest.fixture(scope="module")
def fast() -> CompiledModel:
    return compile(branches(), quality="fast")


def types(artifact: CompiledModel) -> dict[str, int]:
    return {item.name: item.data_type for item in artifact.model.graph.initializer}


@exact_products_of_bytes
def test_what_is_careful(careful: CompiledModel) -> None:
    """One product would break the promise in eight bits, and a kernel would only be stored in them."""
    found = types(careful)
    assert found["sound.weight"] == TensorProto.INT8
    assert found["spoilt.weight"] == found["kernel.weight"] == TensorProto.FLOAT16
    assert careful.report.stored.keys() >= {COMPUTED, ROUNDED}
    assert INT8 not in careful.report.stored
    assert {item.signal for item in careful.report.fidelity} == {"noise", "song", "silence", "one.wav"}
    assert all(map(CAREFUL.gate.passes, careful.report.fidelity))


@exact_products_of_bytes
def test_the_account_of_a_choice(careful: CompiledModel) -> None:
    report = careful.report
    assert report.chosen.startswith(
        f"quality careful ({CAREFUL.gate.words}): 1 of the 2 weights that can be are computed with in eight "
        "bits, and no more because a stem would break the promise; nearest to its limit is "
    )
    assert report.promise == CAREFUL.gate.words
    assert {group.weights: group.kept for group in report.groups} == {
        ("spoilt.weight",): True,
        ("sound.weight",): False,
    }
    assert all(group.saved == 2 * 800 * 64 * 64 for group in report.groups)
    assert report.groups[0].margin_db < report.groups[1].margin_db
    assert json.loads(report.to_json())["options"]["quality"] == "careful"


@exact_products_of_bytes
def test_the_promise_in_the_file(careful: CompiledModel, fast: CompiledModel) -> None:
    assert careful.metadata.quality == "careful"
    assert careful.metadata.promise == CAREFUL.gate.words
    assert careful.metadata.precision == careful.report.options["precision"] == "int8"
    assert fast.metadata.quality == "fast"
    assert fast.report.min_snr_db is None


@exact_products_of_bytes
def test_the_faster_promise_has_more_in_eight_bits(careful: CompiledModel, fast: CompiledModel) -> None:
    assert all(map(FAST.gate.passes, fast.report.fidelity))
    assert fast.report.stored[COMPUTED] == 2 * careful.report.stored[COMPUTED] == 2 * 64 * 64
    assert "2 of the 2 weights that can be are computed with in eight bits; nearest" in fast.report.chosen


@pytest.mark.parametrize(("target", "plain"), [("portable", {}), ("ort", {}), ("web", {})])
def test_exact_is_what_is_compiled_unasked(target: str, plain: dict[str, Any]) -> None:
    unasked = compile(two_stems(), target=target, **plain)
    exact = compile(two_stems(), target=target, quality="exact")
    assert exact.metadata == replace(unasked.metadata, quality="exact", promise="100 dB")
    assert exact.model.graph == unasked.model.graph
    assert exact.report.speedup is None
    assert "all of it in float32" in exact.report.chosen


def test_a_file_is_held_to_its_promise(careful: CompiledModel, tmp_path: Path) -> None:
    path = tmp_path / "careful.onnx"
    careful.save(path)
    assert all(map(CAREFUL.gate.passes, verify(path, branches())))
    model = onnx.load(path)
    [prop] = [item for item in model.metadata_props if item.key == "onnx_demucs.quality"]
    prop.value = "exact"
    onnx.save(model, path)
    with pytest.raises(FidelityError, match="below the gate of 100 dB"):
        verify(path, branches())


def test_weights_that_half_precision_ruins_stay_as_they_are() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Difference(gain=1000).eval()
    artifact = compile(model, quality="careful")
    assert artifact.metadata.precision == "fp32"
    assert set(types(artifact).values()) & {TensorProto.INT8, TensorProto.FLOAT16} == set()
    assert all(map(CAREFUL.gate.passes, artifact.report.fidelity))


class Amplifier(TwoStems):
    """A model that float32 itself computes at some 30 dB."""

    def forward(self, mix: Tensor) -> Tensor:
        raised = (self.convolution(mix).unsqueeze(-1) + 1e5).square() / 1e5
        return (raised.squeeze(-1) - 1e5).unflatten(1, (2, 2))


def test_a_promise_that_cannot_be_kept() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Amplifier().eval()
    with pytest.raises(CompilerError, match=r"quality=careful cannot be kept: even in float32 .* dB"):
        compile(model, quality="careful")


@pytest.mark.parametrize(
    "beside", [{"precision": "fp32"}, {"min_snr_db": 60.0}, {"precision": "int8", "min_snr_db": 60.0}]
)
def test_a_quality_stands_alone(beside: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="leave --precision and --min-snr out"):
        compile(two_stems(), quality="fast", **beside)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"quality": "best"}, "quality=best is not a value it takes; use exact, careful, fast"),
        ({"quality": "fast", "verify": False}, "a promise that is measured"),
        ({"quality": "fast", "emit": "pt2"}, "emit=pt2 is made before there is an ONNX graph, where quality"),
    ],
)
def test_what_is_no_promise(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        compile(two_stems(), **options)


def speed(figure: float) -> Callable[..., float]:
    return lambda *_: figure


def test_a_promise_that_buys_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantisation, "eight_bits", lambda: EightBits(exact=True, speed=3))
    monkeypatch.setattr(compiler, "speedup", speed(1.01))
    [warning] = compile(two_stems(), quality="fast").report.warnings
    assert warning == (
        "quality=fast buys no speed on this processor (1.01 times as fast as float32); quality=exact is as "
        "fast, and closer to the model"
    )
    monkeypatch.setattr(quantisation, "eight_bits", lambda: EightBits(exact=False, speed=3))
    assert (
        "this processor, which adds products of bytes up in 16 bits, which overflow (1.01 times"
        in (compile(two_stems(), quality="fast").report.warnings[0])
    )
    monkeypatch.setattr(compiler, "speedup", speed(1.4))
    assert compile(two_stems(), quality="fast").report.warnings == ()


def test_two_compiles_agree(fast: CompiledModel) -> None:
    again = compile(branches(), quality="fast")
    assert again.model.SerializeToString(deterministic=True) == fast.model.SerializeToString(
        deterministic=True
    )
