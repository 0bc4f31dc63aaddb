"""``onnx-demucs verify``, and what ``separate`` says to a model of someone else."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from cli_examples import fails_cleanly, run, strict_json, succeeds, write_two_stems
from onnx import numpy_helper


@pytest.fixture
def off(artifact: Path, folder: Path) -> Path:
    """The artefact with one weight changed a little."""
    model = onnx.load(artifact)
    [weight] = [item for item in model.graph.initializer if item.name == "encoder.0.0.weight"]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.0001), weight.name))
    onnx.save(model, folder / "off.onnx")
    return folder / "off.onnx"


def test_a_good_artefact(artifact: Path, checkpoint: Path) -> None:
    printed = succeeds(run("verify", artifact, "--model", checkpoint))
    for word in ("noise", "song", "silence", "speech", "PyTorch float32"):
        assert word in printed


def test_json(artifact: Path, checkpoint: Path) -> None:
    measured = strict_json(succeeds(run("verify", artifact, "--model", checkpoint, "--json")))
    assert {item["signal"] for item in measured} == {"noise", "song", "silence"}
    assert all(item["snr_db"] is None or item["snr_db"] > 100 for item in measured)


def test_quiet(artifact: Path, checkpoint: Path) -> None:
    assert succeeds(run("verify", artifact, "--model", checkpoint, "--quiet")) == ""


def test_audio_of_ones_own(artifact: Path, checkpoint: Path, folder: Path) -> None:
    soundfile.write("mine.wav", 0.1 * np.random.default_rng(0).standard_normal((8000, 2)), 8000)
    arguments = ("verify", artifact, "--model", checkpoint, "--audio", "mine.wav", "--json")
    assert {item["signal"] for item in strict_json(succeeds(run(*arguments)))} >= {"mine.wav"}
    fails_cleanly(run(*arguments[:-2], "absent.wav"), 1, "absent.wav")


def test_below_the_gate(off: Path, checkpoint: Path) -> None:
    fails_cleanly(run("verify", off, "--model", checkpoint), 1, "parity failed", "below the gate of 100 dB")
    succeeds(run("verify", off, "--model", checkpoint, "--min-snr", "60"))


def test_other_weights(artifact: Path, folder: Path) -> None:
    write_two_stems(folder / "other.th", seed=1)
    fails_cleanly(
        run("verify", artifact, "--model", "other.th"), 1, "was compiled from other weights", "those of other"
    )


def test_a_name_that_only_meant_something_elsewhere(artifact: Path, folder: Path) -> None:
    fails_cleanly(run("verify", artifact), 2, "was compiled from two", "--model")


def test_an_unknown_model(artifact: Path, folder: Path) -> None:
    fails_cleanly(run("verify", artifact, "--model", "htdemucz"), 2, "did you mean htdemucs?")


@pytest.mark.parametrize("command", ["verify", "separate"])
@pytest.mark.parametrize("content", ["absent", "garbage", "foreign"])
def test_what_is_no_artefact(
    command: str, content: str, artifact: Path, checkpoint: Path, folder: Path
) -> None:
    path = folder / "bad.onnx"
    if content == "garbage":
        path.write_bytes(b"not a model" * 100)
    if content == "foreign":
        model = onnx.load(artifact)
        del model.metadata_props[:]
        onnx.save(model, path)
    soundfile.write("song.wav", np.zeros((800, 2)), 8000)
    before = sorted(folder.rglob("*"))
    rest = ("--model", checkpoint) if command == "verify" else ("song.wav", "-o", "out")
    expected = {"absent": "no such file", "garbage": "bad.onnx", "foreign": "compile the checkpoint with"}
    fails_cleanly(run(command, path, *rest), 1, expected[content])
    assert sorted(folder.rglob("*")) == before
