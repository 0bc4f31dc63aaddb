"""``onnx-demucs verify``, and what ``separate`` says to a model of someone else."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from cli_examples import fails_cleanly, run, strict_json, succeeds, write_two_stems

from onnx_demucs_compiler.checking.fidelity import Gate, Measurement
from onnx_demucs_compiler.cli.display import print_fidelity


def test_a_good_artifact(artifact: Path, checkpoint: Path) -> None:
    printed = succeeds(run("verify", artifact, "--model", checkpoint))
    for word in ("noise", "song", "silence", "speech", "PyTorch float32", "error to mix"):
        assert word in printed
    assert "absent" not in printed


def test_an_absent_stem_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    print_fidelity([Measurement("clip.mp3", "vocals", 75.6, 79.3, 1e-7, False, -138.5, -62.9)])
    printed = capsys.readouterr().out
    for word in ("vocals (absent)", "75.6", "-138.5", "absent: so far below the mix"):
        assert word in printed


def test_what_the_gate_has_to_say(
    artifact: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(Gate, "warnings", lambda *_: ("it passes, but",))
    for command in (["verify", artifact, "--model", checkpoint], ["compile", checkpoint]):
        result = run(*command)
        assert (result.exit_code, result.stderr) == (0, "warning: it passes, but\n")


def test_json(artifact: Path, checkpoint: Path) -> None:
    measured = strict_json(succeeds(run("verify", artifact, "--model", checkpoint, "--json")))
    assert {item["signal"] for item in measured} == {"noise", "song", "silence"}
    assert all(item["snr_db"] is None or item["snr_db"] > 100 for item in measured)
    assert {item["error_to_mix_db"] is None for item in measured if item["signal"] == "silence"} == {True}
    assert all(item["error_to_mix_db"] < -100 for item in measured if item["signal"] != "silence")


def test_quiet(artifact: Path, checkpoint: Path) -> None:
    assert succeeds(run("verify", artifact, "--model", checkpoint, "--quiet")) == ""


def test_audio_of_six_channels(artifact: Path, checkpoint: Path, folder: Path) -> None:
    soundfile.write("surround.wav", 0.1 * np.random.default_rng(0).standard_normal((8000, 6)), 8000)
    result = run("verify", artifact, "--model", checkpoint, "--audio", "surround.wav", "--json")
    assert result.exit_code == 0
    [line] = result.stderr.splitlines()
    assert line.startswith("warning: surround.wav: has 6 channels (left, right, centre, LFE, rear left,")


def test_audio_of_ones_own(artifact: Path, checkpoint: Path, folder: Path) -> None:
    soundfile.write("mine.wav", 0.1 * np.random.default_rng(0).standard_normal((8000, 2)), 8000)
    arguments = ("verify", artifact, "--model", checkpoint, "--audio", "mine.wav", "--json")
    assert {item["signal"] for item in strict_json(succeeds(run(*arguments)))} >= {"mine.wav"}
    fails_cleanly(run(*arguments[:-2], "absent.wav"), 1, "absent.wav")


def test_below_the_gate(artifact: Path, checkpoint: Path) -> None:
    result = run("verify", artifact, "--model", checkpoint, "--min-snr", "500")
    fails_cleanly(result, 1, "parity failed", "below the gate of 500 dB")


@pytest.mark.parametrize("min_snr", ["nan", "inf", "-inf"])
def test_a_gate_that_is_none(min_snr: str, artifact: Path, checkpoint: Path) -> None:
    result = run("verify", artifact, "--model", checkpoint, "--min-snr", min_snr)
    fails_cleanly(result, 2, f"--min-snr {min_snr} is not a gate; give a number of dB")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_config_that_is_no_file(artifact: Path, folder: Path) -> None:
    os.mkfifo("pipe.config")  # which nobody writes to
    fails_cleanly(run("verify", artifact, "--ops-config", "pipe.config"), 1, "pipe.config: not a file")
    fails_cleanly(run("ops-config", artifact, "--check", "pipe.config"), 1, "pipe.config: not a file")
    fails_cleanly(run("ops-config", artifact, "--check", "none.config"), 1, "none.config: no such file")


def test_other_weights(artifact: Path, folder: Path) -> None:
    write_two_stems(folder / "other.th", seed=1)
    fails_cleanly(
        run("verify", artifact, "--model", "other.th"), 1, "was compiled from other weights", "those of other"
    )


def test_a_name_that_only_meant_something_elsewhere(artifact: Path, folder: Path) -> None:
    fails_cleanly(run("verify", artifact), 2, "was compiled from two", "--model")


def test_an_unknown_model(artifact: Path, folder: Path) -> None:
    fails_cleanly(run("verify", artifact, "--model", "htdemucz"), 2, "did you mean htdemucs?")


def test_parity_of_the_ort_format(folder: Path) -> None:
    Path("model.ort").write_bytes(b"not ONNX" * 100)
    line = "model.ort is not an ONNX model; parity is measured on the .onnx file that it was made from"
    fails_cleanly(run("verify", "model.ort"), 1, line)


@pytest.mark.parametrize("command", ["verify", "separate"])
@pytest.mark.parametrize("content", ["absent", "garbage", "foreign"])
def test_what_is_no_artifact(
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
