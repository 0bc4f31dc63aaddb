"""A track of any length in one call: equal to what demucs makes of it."""

import inspect
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from thoroughly import thorough_but
from torch import nn

from onnx_demucs_compiler import CompiledModel, UsageError, compile, verify
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_compiler.runtime.session import session_options
from onnx_demucs_compiler.view.track import separate_track
from onnx_demucs_rules.examples import plain_htdemucs

SOURCES = ["drums", "bass", "other", "vocals"]
SEGMENT = 4096
LENGTHS = (1, 2, 1023, SEGMENT // 2, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT // 4, 20_000, 50_001)


def make_model(seed: int, sources: list[str] = SOURCES) -> nn.Module:
    torch.manual_seed(seed)
    made = plain_htdemucs(SEGMENT, sources=sources)
    make_lively(made, seed)
    return made.eval()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return make_model(1)


@pytest.fixture(scope="module")
def compiled(model: nn.Module) -> CompiledModel:
    return compile(model, track=True)


def track(samples: int, channels: int = 2) -> torch.Tensor:
    """Noise that is louder and off centre from its second half on, so that normalising it matters."""
    noise = torch.randn(channels, samples, generator=torch.Generator().manual_seed(5))
    noise[:, samples // 2 :] = 0.3 * noise[:, samples // 2 :] + 0.2
    return noise


def upstream(model: nn.Module, mix: torch.Tensor, overlap: float = 0.25) -> np.ndarray:
    """``apply_model`` in float64 within the normalisation of ``demucs.api.Separator``."""
    double = mix.double()
    reference = double.mean(0)
    mean, scale = reference.mean(), (reference.std() if mix.shape[-1] > 1 else 0.0) + 1e-8
    normalised = ((double - mean) / scale)[None]
    with torch.no_grad():
        stems = apply_model(model.double(), normalised, shifts=0, overlap=overlap)[0]
    model.float()
    return (stems * scale + mean).numpy()


def run(artifact: CompiledModel, mix: torch.Tensor) -> np.ndarray:
    session = ort.InferenceSession(artifact.model.SerializeToString(), session_options(threads=1))
    (stems,) = session.run(["stems"], {"mix": mix.numpy()})
    return np.asarray(stems)


@pytest.mark.parametrize("samples", LENGTHS)
def test_the_graph_equals_apply_model(model: nn.Module, compiled: CompiledModel, samples: int) -> None:
    mix = track(samples)
    stems = run(compiled, mix)
    assert stems.shape == (4, 2, samples)
    assert snr_db(upstream(model, mix), stems) > 110


def test_ports_and_metadata(compiled: CompiledModel) -> None:
    graph = compiled.model.graph
    shapes = {
        port.name: [size.dim_param or size.dim_value for size in port.type.tensor_type.shape.dim]
        for port in [*graph.input, *graph.output]
    }
    assert shapes == {"mix": [2, "samples"], "stems": [4, 2, "samples"]}
    props = {item.key: item.value for item in compiled.model.metadata_props}
    assert (props["onnx_demucs.track"], props["onnx_demucs.overlap"]) == ("true", "0.25")
    assert compiled.metadata.segment == SEGMENT
    onnx.checker.check_model(compiled.model, full_check=True)


def test_a_silent_track_is_silent(compiled: CompiledModel) -> None:
    assert np.abs(run(compiled, torch.zeros(2, 10_000))).max() < 1e-6


@pytest.mark.parametrize("overlap", thorough_but({0.5}, [0.0, 0.5]))
def test_the_overlap_is_selectable(model: nn.Module, overlap: float) -> None:
    artifact = compile(model, track=True, overlap=overlap)
    mix = track(9000)
    assert snr_db(upstream(model, mix, overlap), run(artifact, mix)) > 110
    assert artifact.metadata.overlap == overlap


def test_a_bag_is_weighted_as_upstream_weighs_it() -> None:
    bag = BagOfModels([make_model(1), make_model(2)], [[1, 0, 1, 2], [0, 1, 3, 1]])
    mix = track(11_000)
    artifact = compile(bag, track=True)
    assert snr_db(upstream(bag, mix), run(artifact, mix)) > 110


@pytest.mark.parametrize("method", thorough_but({"add"}, ["add", "minus"]))
def test_two_stems_keep_the_level_of_the_track(model: nn.Module, method: str) -> None:
    artifact = compile(model, track=True, two_stems="vocals", other_method=method)
    mix = track(9000)
    stems = upstream(model, mix)
    rest = stems[:3].sum(0) if method == "add" else mix.double().numpy() - stems[3]
    got = run(artifact, mix)
    assert snr_db(stems[3], got[0]) > 110
    assert snr_db(rest, got[1]) > 110


def test_one_stem_at_another_length(model: nn.Module) -> None:
    artifact = compile(model, track=True, length=8192, stems=("bass",))
    mix = track(20_000)
    expected = separate_with(model, mix, 8192)[1:2]
    assert snr_db(expected, run(artifact, mix)) > 110


def separate_with(model: Any, mix: torch.Tensor, segment: int) -> np.ndarray:
    before, model.use_train_segment = model.use_train_segment, False
    try:
        with torch.no_grad():
            return separate_track(model.double(), mix.double(), segment, 0.25).numpy()
    finally:
        model.use_train_segment = before
        model.float()


def test_an_artifact_is_verified_by_its_metadata(
    compiled: CompiledModel, model: nn.Module, tmp_path: Any
) -> None:
    compiled.save(tmp_path / "track.onnx")
    measurements = verify(tmp_path / "track.onnx", model)
    assert {item.output for item in measurements} == set(SOURCES)
    assert all(item.silent or item.snr_db > 110 for item in measurements)


def test_weights_stand_in_the_graph_once(compiled: CompiledModel, model: nn.Module) -> None:
    segment = compile(model, verify=False).model
    extra = compiled.model.ByteSize() - segment.ByteSize()
    assert extra < 4 * (4 * 2 * SEGMENT + 3 * SEGMENT) + 20_000


def test_every_opset_end(model: nn.Module) -> None:
    for opset in (17, 26):
        artifact = compile(model, track=True, opset=opset, verify=False)
        mix = track(7000)
        assert snr_db(upstream(model, mix), run(artifact, mix)) > 110


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 2}, "track takes one mix"),
        ({"batch": "dynamic"}, "track takes one mix"),
        ({"length": "dynamic"}, "track takes one mix"),
        ({"interface": "core"}, "track takes one mix"),
        ({"overlap": 1.0}, "overlap=1.0"),
        ({"overlap": -0.1}, "overlap=-0.1"),
    ],
)
def test_what_a_track_excludes(model: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compile(model, track=True, **options)


def test_overlap_has_the_default_of_demucs() -> None:
    assert inspect.signature(apply_model).parameters["overlap"].default == 0.25
    assert inspect.signature(compile).parameters["overlap"].default == 0.25
