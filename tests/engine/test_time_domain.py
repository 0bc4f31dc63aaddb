"""Demucs of the time domain: its switches, its lengths, and bags that it shares with HDemucs."""

from typing import Any

import numpy as np
import pytest
import torch
from demucs.apply import BagOfModels, apply_model
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from thoroughly import thorough
from torch import nn

from onnx_demucs_compiler import CompiledModel, UsageError, compile
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import open_session
from onnx_demucs_compiler.loading import make_lively

# Long enough for means in stages, and of no convenient length.
SAMPLES = 4001


def small_demucs(samples: int = SAMPLES, **options: Any) -> Any:
    """Two layers, the second with a norm; no LSTM and no attention in the residual branches."""
    facts = {
        "sources": ["drums", "bass", "vocals"], "channels": 8, "depth": 2, "norm_starts": 1,
        "dconv_attn": 9, "dconv_lstm": 9, "dconv_depth": 1, "samplerate": 8000, "segment": samples / 8000,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = Demucs(**facts | options)
    make_lively(model, 0)
    return model.eval()


def run(compiled: CompiledModel, mix: torch.Tensor) -> np.ndarray:
    session = open_session(compiled.model)
    (stems,) = session.run(None, {"mix": mix.numpy()})
    return np.asarray(stems)


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(5))


def worst_db(compiled: CompiledModel) -> float:
    """On noise and the song. Without normalize, silence is a row of equal numbers to every norm."""
    return min(item.snr_db for item in compiled.report.fidelity if item.signal != "silence")


def test_the_graph_is_the_model() -> None:
    model = small_demucs()
    compiled = compile(model)
    assert worst_db(compiled) > 114
    assert compiled.metadata.sources == ("drums", "bass", "vocals")
    assert compiled.metadata.segment == SAMPLES
    operators = compiled.report.operators
    fires = {cost.rule: cost.fires for cost in compiled.report.costs if cost.fires}
    # Either resampling is one convolution with sinc filters, and each gate takes two.
    expected = sum(isinstance(child, nn.Conv1d) for child in model.modules()) + 2
    assert operators["Conv"] == expected + fires["glu-as-two-convolutions"]
    assert operators["ConvTranspose"] == 2
    assert compiled.report.constant_bytes < 4096
    assert {"mean-in-stages", "std-in-stages", "group-norm-in-stages"} <= set(fires)


@pytest.mark.parametrize(
    "options",
    [
        thorough({"normalize": False, "audio_channels": 1, "norm_groups": 2, "dconv_mode": 3}),
        {"resample": False, "gelu": False, "glu": False, "context": 0, "sources": ["vocals"]},
        {"dconv_mode": 0, "lstm_layers": 2, "gelu": False, "rewrite": False},
    ],
    ids=["not-normalized-mono", "not-resampled-relu", "lstm-as-in-v2"],
)
def test_every_switch(options: dict[str, Any]) -> None:
    model = small_demucs(601, **options)
    compiled = compile(model)
    assert worst_db(compiled) > 114
    mix = noise(1, model.audio_channels, 601)
    with torch.inference_mode():
        wanted = model.double()(mix.double()).numpy()
    assert wanted.shape == (1, len(model.sources), model.audio_channels, 601)
    assert snr_db(wanted, run(compiled, mix)) > 114


def test_a_graph_of_a_valid_length_is_what_upstream_runs() -> None:
    """apply_model gives a time-domain model valid_length samples and takes the middle of what comes back."""
    model = small_demucs()
    samples = model.valid_length(3000)
    assert samples > 3000
    compiled = compile(model, length=samples, batch=2, stems=("vocals", "drums"))
    assert (compiled.metadata.segment, compiled.metadata.sources) == (samples, ("vocals", "drums"))
    track = noise(2, 2, 3000)
    wanted = apply_model(model, track, shifts=0, split=False)[:, [2, 0]].numpy()
    before = (samples - 3000) // 2
    padded = nn.functional.pad(track, (before, samples - 3000 - before))
    assert snr_db(wanted, run(compiled, padded)[..., before : before + 3000]) > 110


def test_an_open_length_of_another_format_is_refused() -> None:
    with pytest.raises(UsageError, match="Demucs works in the time domain"):
        compile(small_demucs(), length="dynamic", emit="pt2")


@pytest.mark.parametrize("interface", ["core", "spectral", "openkara"])
def test_there_is_no_spectrum_to_leave_to_the_host(interface: str) -> None:
    with pytest.raises(UsageError, match="Demucs has no spectrogram branch to leave to the host"):
        compile(small_demucs(), interface=interface)


def test_a_bag_with_a_hybrid_member_is_one_graph() -> None:
    samples = small_demucs().valid_length(1024)
    options = {"channels": 8, "samplerate": 8000, "dconv_mode": 0, "rewrite": False}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        hybrid: Any = HDemucs(["drums", "bass", "vocals"], nfft=64, depth=3, **options).eval()
    make_lively(hybrid, 1)
    bag: Any = BagOfModels(
        [hybrid, small_demucs(dconv_mode=0)], [[1, 0, 2], [1, 1, 1]], segment=samples / 8000
    )
    compiled = compile(bag)
    assert compiled.metadata.segment == samples
    mix = noise(1, 2, samples)
    wanted = apply_model(bag.double(), mix.double(), shifts=0, split=False).numpy()
    assert snr_db(wanted, run(compiled, mix)) > 110
