"""Whole songs of HDemucs, time-domain Demucs and bags of both, as demucs' ``apply_model`` separates them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from demucs.apply import BagOfModels
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs_reference import GATE_DB, by_demucs, snr, stacked
from thoroughly import thorough_but
from torch import nn

from onnx_demucs_compiler import CompiledModel, compile, verify
from onnx_demucs_compiler.checking.fidelity import Measurement
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_compiler.runtime import Separator
from onnx_demucs_compiler.runtime.session import session_options

RATE = 8000
SEGMENT = 5000
FACTS = {"sources": ["drums", "vocals"], "channels": 4, "norm_starts": 1, "dconv_depth": 1, "dconv_comp": 2,
         "samplerate": RATE, "segment": Fraction(SEGMENT, RATE)}  # fmt: skip

LENGTHS = (1, 2, 3, 17, 63, 64, 65, 255, 1601, SEGMENT - 1, SEGMENT, SEGMENT + 1, 7000, 12_345)
"""Songs shorter than the padding of the STFT and than a frame of the LSTM, and of one to four segments."""

FEW = (1, 65, SEGMENT + 1, 12_345)


def lively(kind: type[nn.Module], seed: int, **options: Any) -> nn.Module:
    """The same weights each time, whatever was drawn before."""
    torch.manual_seed(seed)
    model = kind(**FACTS | options)
    make_lively(model, seed)
    return model.eval()


def hybrid() -> nn.Module:
    """A layer behind the STFT with an LSTM over more steps than it takes at once, and LocalState."""
    return lively(HDemucs, 0, nfft=64, depth=3, dconv_attn=2, dconv_lstm=2)


def masking(**options: Any) -> nn.Module:
    """Masks of magnitudes, bands of frequencies, and the padding of 2021."""
    facts = {"nfft": 64, "depth": 2, "dconv_mode": 0, "norm_starts": 9, "cac": False, "hybrid_old": True,
             "multi_freqs": [0.25, 0.5], "multi_freqs_depth": 1}  # fmt: skip
    return lively(HDemucs, 1, **facts | options)


def time_domain() -> nn.Module:
    """An LSTM over more steps than it takes at once."""
    return lively(Demucs, 2, depth=2, dconv_attn=9, dconv_lstm=1)


def mixed_bag() -> nn.Module:
    bag: nn.Module = BagOfModels([time_domain(), masking()], [[1, 2], [3, 1]])
    return bag


@dataclass(frozen=True)
class Kind:
    make: Callable[[], nn.Module]
    interface: str
    context: int


KINDS = {
    "HDemucs": Kind(hybrid, "waveform", 0),
    "Demucs": Kind(time_domain, "surrounded", 9),
    "bag of both": Kind(mixed_bag, "surrounded", 9),
}
"""The context of Demucs of two layers of stride 4: windows are 18 samples, or 8 more, and so on."""


@cache
def compiled(kind: str) -> CompiledModel:
    return compile(KINDS[kind].make(), length="dynamic")


@cache
def separator(kind: str) -> Separator:
    with TemporaryDirectory() as folder:
        return Separator(compiled(kind).save(Path(folder) / "model.onnx"), threads=1)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def worst_db(measurements: tuple[Measurement, ...]) -> float:
    return min(found.snr_db for found in measurements if found.signal != "silence")


def song(samples: int) -> np.ndarray:
    return np.random.default_rng(samples).normal(0.02, 0.1, (2, samples)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_is_the_model_of_any_length(kind: str) -> None:
    metadata, wanted = compiled(kind).metadata, KINDS[kind]
    assert (metadata.interface, metadata.context) == (wanted.interface, wanted.context)
    assert (metadata.length, metadata.segment) == ("dynamic", SEGMENT)
    assert (metadata.hop, metadata.shortest) == (1, 2 * wanted.context + 1)
    assert worst_db(compiled(kind).report.fidelity) > GATE_DB


@pytest.mark.parametrize("samples", thorough_but(FEW, LENGTHS))
@pytest.mark.parametrize("kind", KINDS)
def test_a_song_is_as_apply_model_separates_it(kind: str, samples: int) -> None:
    mix = song(samples)
    assert snr(by_demucs(KINDS[kind].make(), mix), stacked(separator(kind).separate(mix))) > GATE_DB


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_warned_of(kind: str) -> None:
    assert separator(kind)._differing(Path("song.wav"), SEGMENT + 1) == []


def test_shorter_segments_are_those_of_demucs() -> None:
    model: Any = time_domain()
    with TemporaryDirectory() as folder:
        path = compiled("Demucs").save(Path(folder) / "model.onnx")
        short = Separator(path, threads=1, segment=0.1, overlap=0.5)
    model.segment = 0.1
    mix = song(3001)
    assert snr(by_demucs(model, mix, 0.5), stacked(short.separate(mix))) > GATE_DB


def test_shifts_are_those_of_demucs() -> None:
    model, mix = time_domain(), song(7000)
    with TemporaryDirectory() as folder:
        path = compiled("Demucs").save(Path(folder) / "model.onnx")
        shifted = stacked(Separator(path, threads=1, shifts=2, seed=3).separate(mix))
    random.seed(3)
    assert snr(by_demucs(model, mix, shifts=2), shifted) > GATE_DB


@pytest.mark.parametrize("kind", thorough_but({"Demucs"}, KINDS))
def test_a_track_is_as_apply_model_separates_it(kind: str) -> None:
    model = KINDS[kind].make()
    artifact = compile(model, track=True, length="dynamic", verify=kind == "Demucs")
    assert (artifact.metadata.differing_segments, artifact.metadata.context) == ("none", None)
    session = ort.InferenceSession(artifact.model.SerializeToString(), session_options(threads=1))
    for samples in LENGTHS:
        mix = song(samples)
        [stems] = session.run(None, {"mix": mix})
        assert snr(by_demucs(model, mix), stems) > GATE_DB, samples


@pytest.mark.parametrize("batch", thorough_but({"dynamic"}, [2, "dynamic"]))
def test_a_batch_holds_windows_of_one_length(batch: int | str, tmp_path: Path) -> None:
    model = masking(hybrid_old=False)
    batched = compile(model, length="dynamic", batch=batch, verify=False).save(tmp_path / "batched.onnx")
    mix = song(12_345)
    assert snr(by_demucs(model, mix), stacked(Separator(batched, threads=1).separate(mix))) > GATE_DB


def test_verify_knows_the_context(tmp_path: Path) -> None:
    path = compiled("Demucs").save(tmp_path / "model.onnx")
    assert worst_db(verify(path, time_domain())) > GATE_DB


def test_what_is_left_of_the_mix_without_a_stem(tmp_path: Path) -> None:
    model = time_domain()
    artifact = compile(model, length="dynamic", two_stems="vocals", other_method="minus", verify=False)
    mix = song(7000)
    stems = Separator(artifact.save(tmp_path / "model.onnx"), threads=1).separate(mix)
    assert snr(mix - by_demucs(model, mix)[1], stems["no_vocals"]) > GATE_DB


@pytest.mark.parametrize(
    "choices", thorough_but([{}], [{}, {"target": "web"}, {"interface": "core"}, {"length": 4992}])
)
def test_a_graph_of_one_length_is_to_be_had(choices: dict[str, Any]) -> None:
    artifact = compile(masking(cac=True, hybrid_old=False, multi_freqs=[]), verify=False, **choices)
    assert (artifact.metadata.length, artifact.metadata.context) == ("segment", None)
