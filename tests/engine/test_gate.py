"""The gate: what an output has to reach, and what is said of those that pass."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from engine_examples import shallow_htdemucs, two_stems
from onnx import numpy_helper
from torch import Tensor, nn

from onnx_demucs_compiler import CompiledModel, compile, verify
from onnx_demucs_compiler.artifact.digest import digest
from onnx_demucs_compiler.checking.fidelity import (
    ABSENT_DB,
    FLOOR_DB,
    SILENT,
    FidelityError,
    Gate,
    Measurement,
    measure,
    open_session,
)
from onnx_demucs_compiler.loading import from_module
from onnx_demucs_compiler.options import Options
from onnx_demucs_compiler.view.model_view import ModelView

DEFAULT = Gate.of("fp32", None)


def present(snr_db: float, torch_snr_db: float = 120.0, **changes: Any) -> Measurement:
    found = Measurement("noise", "vocals", snr_db, torch_snr_db, 1e-3, silent=False)
    return replace(found, error_to_mix_db=-10 - snr_db, reference_to_mix_db=-10, **changes)


def absent(snr_db: float, torch_snr_db: float = 120.0, level_db: float = -60.0) -> Measurement:
    found = Measurement("clip", "vocals", snr_db, torch_snr_db, 1e-3, silent=False)
    return replace(found, error_to_mix_db=level_db - snr_db, reference_to_mix_db=level_db)


def silent(peak: float, **changes: float) -> Measurement:
    return replace(Measurement("silence", "vocals", -math.inf, math.inf, peak, silent=True), **changes)


def passes(gate: Gate, measurement: Measurement) -> bool:
    try:
        gate.check([measurement])
    except FidelityError:
        return False
    return True


@pytest.mark.parametrize(
    ("measurement", "good"),
    [
        (present(100), True),
        (present(99.9), False),
        (present(math.inf), True),
        (present(math.nan), False),
        (absent(45), True),
        (absent(40), True),
        (absent(39.9), False),
        (absent(100), True),
        (absent(math.inf), True),
        (absent(math.nan), False),
        (absent(60, level_db=ABSENT_DB), False),
        (absent(60, level_db=ABSENT_DB - 0.1), True),
        (Measurement("noise", "output 0", 60, 120, 1e-3, silent=False), False),
        (silent(SILENT / 2), True),
        (silent(SILENT), False),
        (silent(math.nan), False),
        (silent(10 * SILENT, error_to_mix_db=-101, reference_to_mix_db=-math.inf), True),
        (silent(10 * SILENT, error_to_mix_db=-99, reference_to_mix_db=-math.inf), False),
        (silent(SILENT / 2, error_to_mix_db=-20, reference_to_mix_db=-math.inf), True),
    ],
)
def test_what_passes_at_100_db(measurement: Measurement, good: bool) -> None:
    assert passes(Gate(100), measurement) is good
    assert passes(DEFAULT, measurement) is good
    assert passes(Gate.of("fp32", 100), measurement) is good


@pytest.mark.parametrize(
    ("measurement", "wanted"),
    [
        (present(0, torch_snr_db=120), 100),
        (present(0, torch_snr_db=111), 99),
        (present(0, torch_snr_db=60), 48),
        (present(0, torch_snr_db=32.1), 20.1),
        (present(0, torch_snr_db=31), FLOOR_DB),
        (present(0, torch_snr_db=-math.inf), FLOOR_DB),
        (present(0, torch_snr_db=math.nan), 100),
        (absent(0, torch_snr_db=79), 100),
        (absent(0, torch_snr_db=30), 78),
    ],
)
def test_the_default_follows_pytorch(measurement: Measurement, wanted: float) -> None:
    assert DEFAULT.wanted_db(measurement) == pytest.approx(wanted)
    assert Gate.of("fp32", 100).wanted_db(measurement) == 100
    assert Gate.of("int8", None).wanted_db(measurement) == 40


def test_an_absent_stem_may_not_be_dropped_where_pytorch_has_it() -> None:
    """All zeros have an error of the stem's own level, 60 dB below the mix."""
    assert not passes(DEFAULT, absent(0, torch_snr_db=30))
    assert passes(Gate.of("int8", None), absent(0, torch_snr_db=30))


@pytest.mark.parametrize(
    ("measurement", "told"),
    [
        (
            present(70),
            "vocals on noise reaches 70.0 dB SNR against float64 (PyTorch float32: 120.0 dB), "
            "below the gate of 100 dB",
        ),
        (
            absent(25),
            "vocals on clip is absent (-60.0 dB to the mix), and its error is -85.0 dB to the mix "
            "(PyTorch float32: -180.0 dB), above the gate of -100 dB",
        ),
        (silent(1e-3), "vocals on silence peaks at 1.0e-03 where the model is silent"),
        (
            present(15, torch_snr_db=16),
            "vocals on noise reaches 15.0 dB SNR against float64 (PyTorch float32: 16.0 dB), "
            "below the gate of 20 dB; PyTorch itself keeps no more: ask for less (--min-snr)",
        ),
    ],
)
def test_the_message_has_what_was_tested(measurement: Measurement, told: str) -> None:
    with pytest.raises(FidelityError) as error:
        DEFAULT.check([present(130), absent(90), measurement])
    assert str(error.value) == f"parity failed: {told}"
    assert error.value.measurements[-1] == measurement


def test_the_message_is_about_the_worst() -> None:
    with pytest.raises(FidelityError, match="reaches 105.0 dB"):
        Gate(500).check([present(120), absent(50), present(105)])
    with pytest.raises(FidelityError, match="is in part NaN or infinite$"):
        Gate(100).check([present(3), present(math.nan), present(2)])


def test_passing_below_the_default_is_told() -> None:
    outputs = [present(60, torch_snr_db=65), present(55, torch_snr_db=65), present(104)]
    DEFAULT.check(outputs)
    assert DEFAULT.warnings(outputs) == (
        "vocals on noise reaches 55.0 dB SNR against float64 (PyTorch float32: 65.0 dB), below the gate of "
        "100 dB; it passes because PyTorch itself keeps no more (and 1 more)",
    )
    assert Gate(50).warnings(outputs) == ()


def test_pytorch_far_below_the_graph_is_told() -> None:
    outputs = [present(125, torch_snr_db=104), present(125, torch_snr_db=30), present(124, torch_snr_db=104)]
    for gate in (Gate(10), DEFAULT):
        assert gate.warnings(outputs) == (
            "PyTorch's own float32 reaches 30.0 dB SNR for vocals on noise, and the graph 125.0 dB: the "
            "module itself is imprecise in float32 (and 1 more)",
        )
    assert "nan dB" in DEFAULT.warnings([present(125, torch_snr_db=math.nan)])[0]


@pytest.mark.parametrize(
    "measurement",
    [
        present(120),
        present(math.inf, torch_snr_db=math.inf),
        absent(55, torch_snr_db=65),
        silent(0),
        silent(0, torch_snr_db=-20),
    ],
)
def test_nothing_to_tell(measurement: Measurement) -> None:
    assert DEFAULT.warnings([measurement]) == ()


class Bleeding(nn.Module):
    """A separator of which one stem is what is left when the mix is taken out again, nearly nothing.

    The rounding of the mix stays in it, as in a trained separator's stem that the song does not have.
    """

    def __init__(self, separator: nn.Module, stem: int) -> None:
        super().__init__()
        self.separator, self.stem = separator, stem
        for name in ("sources", "samplerate", "audio_channels", "segment"):
            setattr(self, name, getattr(separator, name))
        self.bleed = nn.Parameter(torch.full((1, 1, 1), 1e-5))

    def forward(self, mix: Tensor) -> Tensor:
        stems = list(self.separator(mix).unbind(1))
        stems[self.stem] = (mix + self.bleed * stems[self.stem]) - mix
        return torch.stack(stems, dim=1)


@pytest.fixture(scope="module")
def bleeding() -> nn.Module:
    return Bleeding(shallow_htdemucs(), stem=1).eval()


@pytest.fixture(scope="module")
def artifact(bleeding: nn.Module) -> CompiledModel:
    return compile(bleeding)


def test_an_absent_stem_of_a_real_separator(bleeding: Any, artifact: CompiledModel) -> None:
    for item in artifact.report.fidelity:
        if item.signal == "silence":
            continue
        assert item.absent == (item.output == bleeding.sources[1])
        if item.absent:
            assert item.snr_db < 75
            assert item.error_to_mix_db < -120
            assert item.snr_db == pytest.approx(item.reference_to_mix_db - item.error_to_mix_db)
        else:
            assert item.snr_db >= 100
    assert artifact.report.warnings == ()


def test_the_error_to_the_mix_is_as_defined(bleeding: nn.Module, artifact: CompiledModel) -> None:
    mix = torch.randn(2, 1, 2, artifact.metadata.segment)[0]
    view = ModelView(from_module(bleeding), Options(sources=from_module(bleeding).sources))
    [wanted] = view.run(copy.deepcopy(bleeding).double(), (mix.double(),))
    [got] = open_session(artifact.model).run(None, {"mix": mix.numpy()})
    for index, item in enumerate(measure(artifact.model, view, {"mine": (mix,)})):
        error, stem = ((values[:, index] ** 2).sum() for values in (got - wanted, wanted))
        to_mix = 10 * np.log10(np.array([error, stem]) / (mix.double() ** 2).sum().item())
        assert (item.error_to_mix_db, item.reference_to_mix_db) == pytest.approx(tuple(to_mix))


@pytest.mark.parametrize("factor", [100, 10_000])
def test_an_audible_error_in_an_absent_stem(
    factor: int, bleeding: nn.Module, artifact: CompiledModel, tmp_path: Path
) -> None:
    path = artifact.save(tmp_path / "loud.onnx")
    model = onnx.load(path)
    [bleed] = [item for item in model.graph.initializer if item.name == "bleed"]
    bleed.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bleed) * np.float32(factor), "bleed"))
    [told] = [item for item in model.metadata_props if item.key == "onnx_demucs.digest"]
    told.value = digest(model)
    onnx.save(model, path)
    with pytest.raises(FidelityError, match=r"is absent .* above the gate of -100 dB") as error:
        verify(path, bleeding)
    off = [item for item in error.value.measurements if item.absent]
    assert [item.signal for item in off] == ["noise", "song"]
    for item in off:
        louder_db = item.error_to_mix_db - item.reference_to_mix_db
        assert louder_db == pytest.approx(20 * math.log10(factor - 1), abs=0.5)
    loudest_db = max(item.error_to_mix_db for item in off)
    assert verify(path, bleeding, min_snr_db=-loudest_db - 1)
    with pytest.raises(FidelityError, match="is absent"):
        verify(path, bleeding, min_snr_db=-loudest_db + 1)


class Amplifying(nn.Module):
    """The sine of a phase so large that rounding it is heard, in PyTorch as in any graph."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.gain * (x / 3))


def test_a_module_that_amplifies_rounding_compiles_with_a_warning() -> None:
    report = compile(Amplifying(1e5), example_input=torch.randn(1, 1, 4000)).report
    lowest = min(item.snr_db for item in report.fidelity)
    assert FLOOR_DB < lowest < 75
    [warning] = report.warnings
    assert f"reaches {lowest:.1f} dB SNR" in warning
    assert warning.endswith("it passes because PyTorch itself keeps no more (and 1 more)")
    assert compile(Amplifying(1), example_input=torch.randn(1, 1, 4000)).report.warnings == ()


def test_below_the_floor_a_gate_has_to_be_asked_for() -> None:
    example = torch.randn(1, 1, 4000)
    with pytest.raises(FidelityError, match=r"gate of 20 dB; PyTorch itself keeps no more: ask for less"):
        compile(Amplifying(3e9), example_input=example)
    assert compile(Amplifying(3e9), example_input=example, min_snr_db=-20).report.warnings == ()


class Cast(nn.Module):
    """A phase that loses its digits in float32, and that the graph never forms."""

    def forward(self, x: Tensor) -> Tensor:
        shift = 1e6 if x.dtype == torch.float32 and not torch.compiler.is_exporting() else 0
        return (x + shift) - shift


def test_a_module_that_is_imprecise_in_float32_alone() -> None:
    report = compile(Cast(), example_input=torch.randn(1, 1, 4000)).report
    [warning] = report.warnings
    assert "on noise" in warning
    assert warning.startswith("PyTorch's own float32 reaches ")
    assert "the module itself is imprecise in float32 (and 1 more)" in warning


def shapes(module: nn.Module, **options: Any) -> list[list[tuple[int, ...]]]:
    """For each output what its stems are parts of, as shapes."""
    source = from_module(module)
    view = ModelView(source, Options(sources=source.sources, **options))
    inputs = view.inputs(*view.probe())
    found = [view.labels.mix(inputs, output) for output in view.run(source.module, inputs)]
    return [[value.shape for value in values] for values in found]


def test_a_stem_is_held_against_the_mix_of_its_own_domain() -> None:
    model = shallow_htdemucs()
    [[(batch, channels, samples)]] = shapes(model)
    waveform = [(batch, channels, samples)]
    [[(*_, bins, frames)], time] = shapes(model, interface="core")
    assert time == waveform
    assert shapes(model, interface="core")[0] == [(batch, 2 * channels, bins, frames)]
    both = [(batch, channels, bins, frames)] * 2
    assert shapes(model, interface="spectral") == [both, both, waveform]
    assert shapes(model, interface="openkara") == [[(batch, channels, 2, bins, frames)], waveform]
    assert shapes(model, two_stems=model.sources[0], other_method="minus") == [waveform]
    assert shapes(model, batch=3) == [[(3, channels, samples)]]
    [[track]] = shapes(model, track=True)
    assert track[0] == channels
    assert len(track) == 2


class Nameless(nn.Module):
    """Stems without names: no one says that the input is their mix."""

    def forward(self, mix: Tensor) -> Tensor:
        return torch.stack([mix, 1e-4 * mix], dim=1)


def test_without_stems_there_is_no_mix() -> None:
    report = compile(Nameless(), example_input=torch.randn(1, 2, 800)).report
    assert all(math.isnan(item.error_to_mix_db) and not item.absent for item in report.fidelity)
    read = json.loads(report.to_json())
    assert [item["error_to_mix_db"] for item in read["fidelity"]] == [None] * 3


def test_the_report_has_the_error_to_the_mix() -> None:
    report = compile(two_stems()).report
    for item, read in zip(report.fidelity, json.loads(report.to_json())["fidelity"], strict=True):
        silence = item.signal == "silence"
        assert math.isnan(item.error_to_mix_db) == silence
        assert read["error_to_mix_db"] == (None if silence else item.error_to_mix_db)
