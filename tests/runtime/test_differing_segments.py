"""Where a separation differs from demucs' ``apply_model``, and that the warning says so of that part only."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from command_line import run
from demucs.apply import BagOfModels
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs_reference import GATE_DB, by_demucs, snr, stacked
from tiny_model import TinyModel
from torch import nn

from onnx_demucs_compiler import compile
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_compiler.loading.families.demucs.differing import differing_segments
from onnx_demucs_compiler.runtime import Separator
from onnx_demucs_rules.examples import small_htdemucs

RATE = 8000
SEGMENT = 1024
STRIDE = 768
LENGTH = 3000
FIRST_SHORT = 2304
"""Of the segments at 0, 768, 1536, 2304, the last is longer than what is left of the song."""
FACTS = {"sources": ["drums", "vocals"], "channels": 8, "depth": 2, "norm_starts": 1, "dconv_depth": 1,
         "dconv_comp": 2, "samplerate": RATE}  # fmt: skip


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    make_lively(model, seed)
    return model.eval()


def hybrid() -> nn.Module:
    options = {"nfft": 64, "dconv_attn": 9, "dconv_lstm": 9, "segment": Fraction(SEGMENT, RATE)}
    return lively(HDemucs(**FACTS, **options))


def time_domain(segment: int = SEGMENT) -> Any:
    options = {"dconv_attn": 9, "dconv_lstm": 9, "segment": Fraction(segment, RATE)}
    return lively(Demucs(**FACTS, **options))


def valid() -> int:
    """A length that Demucs needs nothing around."""
    length: int = time_domain().valid_length(SEGMENT)
    return length


def bag(*members: nn.Module) -> nn.Module:
    model: nn.Module = BagOfModels(list(members))
    return model


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


KINDS: dict[str, tuple[Callable[[], nn.Module], int, str]] = {
    "HTDemucs": (small_htdemucs, SEGMENT, "none"),
    "HDemucs": (hybrid, SEGMENT, "short"),
    "Demucs": (time_domain, SEGMENT, "all"),
    "Demucs of a valid length": (time_domain, valid(), "short"),
    "bag of exact ones": (lambda: bag(small_htdemucs(), small_htdemucs()), SEGMENT, "none"),
    "bag of one HDemucs": (lambda: bag(small_htdemucs(), hybrid()), SEGMENT, "short"),
    "bag of one Demucs": (lambda: bag(hybrid(), time_domain(), small_htdemucs()), SEGMENT, "all"),
    "another module": (lambda: nn.Conv1d(2, 4, 1), SEGMENT, ""),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_metadata_tells_by_the_class(kind: str) -> None:
    make, segment, told = KINDS[kind]
    assert differing_segments(make(), segment) == told


@pytest.fixture(scope="module")
def track() -> np.ndarray:
    return np.random.default_rng(5).normal(0.02, 0.1, (2, LENGTH)).astype(np.float32)


@pytest.fixture(scope="module")
def warn(tmp_path_factory: pytest.TempPathFactory, track: np.ndarray) -> Callable[..., list[str]]:
    """What ``separate`` says of the first samples of the track, given a model with these facts."""
    folder = tmp_path_factory.mktemp("warnings")

    def warnings(samples: int, differing: str, *options: object) -> list[str]:
        tiny = TinyModel(sources=("drums", "vocals"), segment=SEGMENT)
        model = tiny.save(folder / "tiny.onnx", differing_segments=differing)
        soundfile.write(folder / "song.wav", track[:, :samples].T, RATE, "FLOAT")
        result = run("separate", model, folder / "song.wav", "-o", folder / "out", *options)
        assert result.exit_code == 0, result.stderr
        prefix = f"warning: {folder / 'song.wav'}: the stems differ from those of demucs "
        assert all(line.startswith(prefix) for line in result.stderr.splitlines())
        return [line.removeprefix(prefix) for line in result.stderr.splitlines()]

    return warnings


AROUND = "it gives this model more audio around each segment, and shorter ones at the end"


@pytest.mark.parametrize(
    ("samples", "options", "part"),
    [
        (LENGTH, [], "from 0.3 s to the end"),
        (SEGMENT - 1, [], "throughout"),
        (1, [], "throughout"),
        (SEGMENT, [], "from 0.1 s to the end"),
        (2 * SEGMENT, ["--overlap", 0], None),
        (2 * SEGMENT + 1, ["--overlap", 0], "from 0.3 s to the end"),
    ],
)
def test_the_warning_names_the_part(
    samples: int, options: list[object], part: str | None, warn: Callable[..., list[str]]
) -> None:
    every = "throughout" if part in (None, "throughout") else f"throughout, and most {part}"
    told = [] if part is None else [f"{part}; it gives this model shorter segments there"]
    assert warn(samples, "short", *options) == told
    assert warn(samples, "all", *options) == [f"{every}; {AROUND}"]
    assert warn(samples, "none", *options) == []
    assert warn(samples, "", *options) == []
    assert warn(samples, "all", *options, "--quiet") == []


@pytest.mark.parametrize(
    ("make", "length"), [(hybrid, "segment"), (time_domain, valid())], ids=["HDemucs", "Demucs"]
)
def test_short_segments_differ_and_no_others(
    make: Callable[[], nn.Module], length: Any, track: np.ndarray, tmp_path: Path
) -> None:
    model: Any = make()
    compiled = compile(model, length=length, verify=False)
    size = compiled.metadata.segment
    model.segment = Fraction(size, RATE)
    separator = Separator(compiled.save(tmp_path / "model.onnx"), threads=1)
    soundfile.write(tmp_path / "song.wav", track.T, RATE, "FLOAT")
    [warning] = separator.separate_file(tmp_path / "song.wav", tmp_path).warnings
    stride = int(0.75 * size)
    start = next(at for at in range(0, LENGTH, stride) if at + size > LENGTH)
    assert f"demucs from {start / RATE:.1f} s to the end" in warning
    wanted, found = by_demucs(model, track), stacked(separator.separate(track))
    assert snr(wanted[..., :start], found[..., :start]) > GATE_DB
    assert snr(wanted[..., start:], found[..., start:]) < GATE_DB / 2


def test_every_segment_of_demucs_differs(track: np.ndarray, tmp_path: Path) -> None:
    model = time_domain()
    compiled = compile(model, verify=False)
    separator = Separator(compiled.save(tmp_path / "model.onnx"), threads=1)
    assert separator.metadata.differing_segments == "all"
    wanted, found = by_demucs(model, track), stacked(separator.separate(track))
    assert snr(wanted[..., :STRIDE], found[..., :STRIDE]) < GATE_DB / 2
