"""``onnx-demucs info``."""

from pathlib import Path

import onnx
from cli_examples import fails_cleanly, run, strict_json, succeeds


def test_a_file_of_this_compiler(artifact: Path) -> None:
    lines = dict(line.split(":", 1) for line in succeeds(run("info", artifact)).splitlines())
    told = {name: text.strip() for name, text in lines.items()}
    assert told["stems"] == "speech, noise"
    assert told["sample rate"] == "8000"
    assert told["segment"] == "800 samples, 0.10 s"
    assert told["target"] == "portable"
    assert told["precision"] == "fp32"
    assert told["inputs"].startswith("mix [1, 2, 800] float")
    assert told["contracts kept"].startswith("portable, official")


def test_as_json(artifact: Path) -> None:
    facts = strict_json(succeeds(run("info", artifact, "--json")))
    assert facts["file"] == str(artifact)
    assert facts["stems"] == ["speech", "noise"]
    assert facts["contracts"]["portable"] is True
    assert facts["contracts"]["openkara"] is False
    assert "waveform-interface" in facts["rules"]


def test_a_file_of_another_program(artifact: Path, folder: Path) -> None:
    model = onnx.load(artifact)
    del model.metadata_props[:]
    onnx.save(model, folder / "other.onnx")
    printed = succeeds(run("info", folder / "other.onnx"))
    assert "written by:      not this compiler: it has no metadata of onnx-demucs-compiler" in printed
    assert "producer:        onnx-demucs-compiler 0.1.0" in printed
    assert "stems" not in dict(line.split(":", 1) for line in printed.splitlines())


def test_no_model(folder: Path) -> None:
    (folder / "x.onnx").write_bytes(b"text")
    fails_cleanly(run("info", folder / "x.onnx"), 1, "not a model in ONNX or ORT format")
    fails_cleanly(run("info", folder / "absent.onnx"), 1, "no such file")
