"""Every kind of artifact that ``compile`` writes, driven by what it says of itself, against demucs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from command_line import run
from demucs_reference import GATE_DB, by_demucs, snr, stacked
from torch import nn

from onnx_demucs_compiler import UsageError, compile, default
from onnx_demucs_compiler.checking.verification import artifact_metadata, verify
from onnx_demucs_compiler.loading import make_lively
from onnx_demucs_compiler.runtime import Encoding, Separator, interfaces
from onnx_demucs_rules.examples import plain_htdemucs

SOURCES = ["drums", "bass", "other", "vocals"]
SEGMENT = 4001
"""No multiple of the hop, 128, like the real 343980 of 1024."""
WHOLE_HOPS = 31 * 128
"""What an open length makes of it."""

ARTIFACTS: dict[str, dict[str, Any]] = {
    "waveform": {},
    "core": {"interface": "core"},
    "spectral": {"interface": "spectral"},
    "openkara": {"interface": "openkara"},
    "batch": {"interface": "core", "batch": 3},
    "open": {"interface": "spectral", "batch": "dynamic", "length": "dynamic"},
    "stems": {"interface": "openkara", "stems": ("vocals", "bass")},
    "add": {"interface": "core", "two_stems": "vocals"},
    "minus": {"two_stems": "vocals", "other_method": "minus"},
    "track": {"track": True},
    "half-overlapping-track": {"track": True, "overlap": 0.5},
    "other-names": {"rules": default - "waveform-interface"},
}

Compiled = Callable[[str], Path]


def lively_htdemucs(samples: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = plain_htdemucs(samples, sources=SOURCES)
    make_lively(model, 1)
    return model


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Writes an artifact the first time it is asked for."""
    folder = tmp_path_factory.mktemp("artifacts")

    def get(name: str) -> Path:
        path = folder / f"{name}.onnx"
        if not path.exists():
            compile(lively_htdemucs(SEGMENT), **ARTIFACTS[name], verify=False).save(path)
        return path

    return get


@pytest.fixture(scope="module")
def track() -> np.ndarray:
    """Six segments and a mean to take away; the end cuts the last one short."""
    return np.random.default_rng(5).normal(0.02, 0.1, (2, 16_001)).astype(np.float32)


@pytest.fixture(scope="module")
def stems_by_demucs(track: np.ndarray) -> np.ndarray:
    return by_demucs(lively_htdemucs(SEGMENT), track)


@pytest.mark.parametrize(
    "name", ["waveform", "core", "spectral", "openkara", "batch", "track", "other-names"]
)
def test_equals_demucs(name: str, compiled: Compiled, track: np.ndarray, stems_by_demucs: np.ndarray) -> None:
    stems = Separator(compiled(name), threads=1).separate(track)
    assert list(stems) == SOURCES
    assert snr(stems_by_demucs, stacked(stems)) > GATE_DB


def test_an_open_length_is_cut_into_the_segments_of_the_metadata(
    compiled: Compiled, track: np.ndarray
) -> None:
    separator = Separator(compiled("open"), threads=1)
    assert separator.metadata.segment == WHOLE_HOPS
    wanted = by_demucs(lively_htdemucs(WHOLE_HOPS), track)
    assert snr(wanted, stacked(separator.separate(track))) > GATE_DB


@pytest.mark.parametrize(("seconds", "samples"), [(0.25, 16 * 128), (0.0645, 4 * 128), (1.01, 63 * 128)])
def test_a_segment_that_is_asked_for(
    seconds: float, samples: int, compiled: Compiled, track: np.ndarray
) -> None:
    """Equals demucs with a model trained on segments of the nearest length that the graph takes."""
    separator = Separator(compiled("open"), threads=1, segment=seconds)
    wanted = by_demucs(lively_htdemucs(samples), track)
    assert snr(wanted, stacked(separator.separate(track))) > GATE_DB


@pytest.mark.parametrize(
    ("name", "seconds", "line"),
    [
        ("waveform", 0.25, "has segments of one length; leave the segment out"),
        ("track", 0.25, "takes whole tracks; leave the segment out"),
        ("open", 0.0, "has 0.064 s at least, and not 0"),
        ("open", 0.06, "has 0.064 s at least, and not 0.06"),
        ("open", float("inf"), "and not inf"),
        ("open", float("nan"), "and not nan"),
    ],
)
def test_a_segment_that_is_refused(name: str, seconds: float, line: str, compiled: Compiled) -> None:
    with pytest.raises(UsageError, match=line):
        Separator(compiled(name), segment=seconds)


def test_songs_of_another_segment_are_done_again(
    compiled: Compiled, track: np.ndarray, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "song.wav", track.T, 8000, "FLOAT")
    command = (
        "separate",
        compiled("open"),
        tmp_path / "song.wav",
        "-o",
        tmp_path / "out",
        "--resume",
        "--json",
    )
    skipped = [
        json.loads(run(*command, "--segment", seconds).stdout)["songs"][0]["skipped"]
        for seconds in ("0.25", "0.25", "0.5")
    ]
    assert skipped == [False, True, False]


def test_chosen_stems(compiled: Compiled, track: np.ndarray, stems_by_demucs: np.ndarray) -> None:
    stems = Separator(compiled("stems"), threads=1).separate(track)
    assert list(stems) == ["vocals", "bass"]
    assert snr(stems_by_demucs[[3, 1]], stacked(stems)) > GATE_DB


@pytest.mark.parametrize("method", ["add", "minus"])
def test_two_stems(method: str, compiled: Compiled, track: np.ndarray, stems_by_demucs: np.ndarray) -> None:
    """With the mean of the track where demucs has it, which is not once in each stem."""
    stems = Separator(compiled(method), threads=1).separate(track)
    vocals = stems_by_demucs[3]
    rest = stems_by_demucs[:3].sum(axis=0) if method == "add" else track - vocals
    assert list(stems) == ["vocals", "no_vocals"]
    assert snr(vocals, stems["vocals"]) > GATE_DB
    assert snr(rest, stems["no_vocals"]) > GATE_DB


def test_a_track_graph_has_its_own_overlap(compiled: Compiled, track: np.ndarray) -> None:
    path = compiled("half-overlapping-track")
    wanted = by_demucs(lively_htdemucs(SEGMENT), track, overlap=0.5)
    for separator in (Separator(path, threads=1), Separator(path, threads=1, overlap=0.5)):
        assert snr(wanted, stacked(separator.separate(track))) > GATE_DB
    with pytest.raises(UsageError, match="overlap of 0.5 built in"):
        Separator(path, overlap=0.25)


@pytest.mark.parametrize("samples", [1, 100, SEGMENT, SEGMENT + 1])
def test_short_tracks(samples: int, compiled: Compiled) -> None:
    track = np.random.default_rng(samples).normal(0.02, 0.1, (2, samples)).astype(np.float32)
    wanted = by_demucs(lively_htdemucs(SEGMENT), track)
    for name in ("core", "batch", "track"):
        assert snr(wanted, stacked(Separator(compiled(name), threads=1).separate(track))) > GATE_DB


@pytest.mark.parametrize("method", ["add", "minus"])
def test_two_stems_asked_for_twice(
    method: str, compiled: Compiled, track: np.ndarray, tmp_path: Path
) -> None:
    """What is left of a file that holds a stem and what is left."""
    soundfile.write(tmp_path / "song.wav", track.T, 8000, "FLOAT")
    separator = Separator(compiled("minus"), threads=1)
    files = separator.separate_file(
        tmp_path / "song.wav",
        tmp_path,
        encoding=Encoding(float32=True, clip_mode="none"),
        two_stems="vocals",
        other_method=method,
    ).files
    rest, _ = soundfile.read(list(files.values())[1], dtype="float32")
    assert snr(separator.separate(track)["no_vocals"], rest.T) > GATE_DB


@pytest.mark.parametrize("name", list(ARTIFACTS))
def test_verify_reads_the_same_metadata(name: str, compiled: Compiled) -> None:
    path = compiled(name)
    measured = verify(path, lively_htdemucs(SEGMENT))
    stems = artifact_metadata(path).sources
    assert {item.output.rpartition(" ")[2] for item in measured} == set(stems)


@pytest.mark.parametrize("name", list(ARTIFACTS))
def test_from_the_command_line_without_flags(
    name: str, compiled: Compiled, track: np.ndarray, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "song.wav", track.T, 8000, "FLOAT")
    result = run("separate", compiled(name), tmp_path / "song.wav", "-o", tmp_path / "out", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    written = {path.stem: soundfile.info(path).frames for path in tmp_path.rglob("out/*/*/*.wav")}
    assert written == dict.fromkeys(Separator(compiled(name)).metadata.sources, track.shape[1])


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("stems", lambda self, outputs: outputs[1]),
        ("_parts", lambda self, outputs: (*np.split(outputs[0], 2, axis=2), outputs[1])),
    ],
    ids=["no-spectrum", "halves-not-in-turn"],
)  # fmt: skip
def test_the_gate_notices(
    name: str,
    mistake: object,
    compiled: Compiled,
    track: np.ndarray,
    stems_by_demucs: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interfaces.Core, name, mistake)
    stems = Separator(compiled("core"), threads=1).separate(track)
    assert snr(stems_by_demucs, stacked(stems)) < GATE_DB / 2
