"""``compile --trust-checkpoint``, ``--sha256`` and ``--sbom``."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from cli_examples import TWO_STEMS, Branching, fails_cleanly, run, succeeds
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from demucs.demucs import Demucs

from onnx_demucs_compiler import loading
from onnx_demucs_compiler.artifact.checksum import checksum_line


class Touch:
    """Pickles as code that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def hostile(folder: Path) -> Path:
    """A checkpoint that makes the file ``mark`` when it is loaded with trust."""
    state = Demucs(**TWO_STEMS).state_dict()
    content = {"klass": Demucs, "args": (), "kwargs": TWO_STEMS, "state": state}
    torch.save({**content, "training_args": Touch(folder / "mark")}, folder / "hostile.th")
    return folder / "hostile.th"


def test_a_checkpoint_that_would_run_code(hostile: Path, artifact: Path, folder: Path) -> None:
    refused = "the checkpoint hostile.th asks for __builtin__.getattr, pathlib"
    fails_cleanly(run("compile", "hostile.th"), 1, refused, "--trust-checkpoint")
    fails_cleanly(run("verify", artifact, "--model", "hostile.th"), 1, refused, "--trust-checkpoint")
    assert files(folder) == ["hostile.th"]


def test_trust_lets_it(hostile: Path, folder: Path) -> None:
    succeeds(run("compile", "hostile.th", "--trust-checkpoint", "--no-verify", "-q"))
    assert files(folder) == ["hostile.onnx", "hostile.th", "mark"]
    (folder / "mark").unlink()
    succeeds(run("verify", "hostile.onnx", "--model", "hostile.th", "--trust-checkpoint", "-q"))
    assert (folder / "mark").exists()


def test_a_class_of_ones_own_is_named(folder: Path) -> None:
    content = {"klass": Branching, "args": (), "kwargs": TWO_STEMS, "state": {}}
    torch.save(content, folder / "own.th")
    fails_cleanly(run("compile", "own.th"), 1, "asks for cli_examples.Branching, which")


def test_the_metadata_tells_the_checkpoint(checkpoint: Path, artifact: Path) -> None:
    props = {item.key: item.value for item in onnx.load(artifact).metadata_props}
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert json.loads(props["onnx_demucs.checkpoints"]) == {"two.th": digest}


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum here")
def test_sha256sum_takes_the_checksum(checkpoint: Path, folder: Path) -> None:
    arguments = ("compile", checkpoint, "-o", "out.onnx", "--sha256", "--no-verify", "-q", "--force")
    succeeds(run(*arguments))
    assert files(folder) == ["out.onnx", "out.onnx.sha256"]
    line = (folder / "out.onnx.sha256").read_text()
    assert line == f"{hashlib.sha256((folder / 'out.onnx').read_bytes()).hexdigest()}  out.onnx\n"
    for name in ("out.onnx", "a\\b.onnx", "two\nlines.onnx"):
        (folder / name).write_bytes(b"content")
        (folder / "sum").write_text(checksum_line(name, b"content"))
        subprocess.run(["sha256sum", "--check", "--strict", "sum"], cwd=folder, check=True)
    (folder / "out.onnx").write_bytes(b"changed")
    assert subprocess.run(["sha256sum", "--check", "out.onnx.sha256"], cwd=folder).returncode == 1


def test_a_bill_of_materials(checkpoint: Path, folder: Path) -> None:
    arguments = ("compile", checkpoint, "-o", "out.onnx", "--force", "--no-verify", "-q", "--sbom")
    for name in ("bill.json", "again.json"):
        succeeds(run(*arguments, name))
    text = (folder / "bill.json").read_text(encoding="utf-8")
    assert text == (folder / "again.json").read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    [model, tools] = bill["metadata"]["component"], bill["metadata"]["tools"]["components"]
    assert "timestamp" not in bill["metadata"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "out.onnx")
    assert model["hashes"] == [sha256_of(folder / "out.onnx")]
    [ancestor] = model["pedigree"]["ancestors"]
    assert (ancestor["name"], ancestor["hashes"]) == ("two.th", [sha256_of(checkpoint)])
    assert "licenses" not in model
    facts = [(fact["name"], fact["value"]) for fact in model["properties"]]
    assert ("onnx-demucs:target", "portable") in facts
    assert ("onnx-demucs:rule", "waveform-interface") in facts
    assert {tool["name"] for tool in tools} >= {"onnx-demucs-compiler", "torch", "onnx", "demucs"}
    assert f"pkg:pypi/onnx@{onnx.__version__}" in {tool["purl"] for tool in tools}


def sha256_of(path: Path) -> dict[str, str]:
    return {"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.fixture
def loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("work was begun before the request was checked")

    monkeypatch.setattr(loading, "load_model", load)


@pytest.mark.usefixtures("loads_nothing")
def test_a_bill_of_materials_without_its_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "cyclonedx" in name else find(name))
    result = run("compile", "htdemucs", "--sbom", "bill.json")
    fails_cleanly(result, 2, "needs cyclonedx-python-lib", "pip install 'onnx-demucs-compiler[sbom]'")


@pytest.mark.usefixtures("loads_nothing")
@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--sbom", "out.onnx"], 2, "would replace"),
        (["--sbom", "out.onnx.sha256", "--sha256"], 2, "would replace"),
        (["--sbom", "absent/bill.json"], 1, "the folder absent does not exist"),
        (["--sha256"], 1, "out.onnx.sha256 is a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_files_that_cannot_be_written(options: list[str], code: int, message: str, folder: Path) -> None:
    if options == ["--sha256"]:
        (folder / "out.onnx.sha256").mkdir()
    fails_cleanly(run("compile", "htdemucs", "-o", "out.onnx", *options), code, message)
