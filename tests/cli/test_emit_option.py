"""``compile --emit`` as a user meets it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_examples import fails_cleanly, run, strict_json, succeeds, write_two_stems

from onnx_demucs_compiler import loading
from onnx_demucs_compiler.artifact import writing
from onnx_demucs_compiler.emit import EMITTERS
from onnx_demucs_compiler.emit.emitter import Converted, Emitter
from onnx_demucs_compiler.targets import MLPACKAGE


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("work was begun before the request was checked")

    monkeypatch.setattr(loading, "load_model", load)


def test_the_suffix_follows_the_format(checkpoint: Path, folder: Path) -> None:
    printed = succeeds(run("compile", checkpoint, "--emit", "pt2"))
    assert files(folder) == ["two.pt2"]
    assert "two.pt2: " in printed
    assert " operators of " in printed
    assert "GFLOP" not in printed
    program = torch.export.load(folder / "two.pt2")
    assert program.module()(torch.zeros(1, 2, 800)).shape == (1, 2, 2, 800)


def test_what_goes_beside_it(checkpoint: Path, folder: Path) -> None:
    beside = ("--sha256", "--report", "report.html", "--sbom", "bill.json", "--json")
    facts = strict_json(succeeds(run("compile", checkpoint, "--emit", "pt2", "-o", "a.pt2", *beside)))
    assert (facts["output"], facts["options"]["emit"]) == ("a.pt2", "pt2")
    assert all(item["snr_db"] is None or item["snr_db"] > 100 for item in facts["fidelity"])
    digest = hashlib.sha256((folder / "a.pt2").read_bytes()).hexdigest()
    assert (folder / "a.pt2.sha256").read_text() == f"{digest}  a.pt2\n"
    assert digest in json.dumps(json.loads((folder / "bill.json").read_text()))
    page = (folder / "report.html").read_text()
    assert "aten." in page
    assert "opset" not in page.partition("<footer>")[2]
    assert "arithmetic" not in page


@pytest.mark.usefixtures("loads_nothing")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--emit", "foo"], "emit=foo is no format beside ONNX; known: pt2, tflite, pte, mlpackage"),
        (["--emit", "tflit"], "did you mean tflite?"),
        (["--emit", "pt2", "-o", "out.onnx"], "out.onnx: what --emit pt2 writes is named OUT.pt2"),
        (["-o", "out.pt2"], "out.pt2 would be an ONNX file; give --emit pt2"),
        (["--emit", "pt2", "--target", "ort"], "target"),
        (["--emit", "pt2", "--precision", "int8"], "precision"),
        (["--emit", "pt2", "--opset", "20"], "opset"),
        (["--emit", "pt2", "--track"], "track"),
        (["--emit", "pt2", "--stems", "speech"], "stems"),
        (["--emit", "pt2", "--fold-weights"], "fold_weights"),
        (["--emit", "pt2", "--external-data"], "--external-data"),
        (["--emit", "pt2", "--ort-format"], "--ort-format"),
        (["--emit", "pt2", "--ops-config"], "--ops-config"),
        (["--emit", "pt2", "--bundle", "folder"], "--bundle"),
        (["--emit", "pt2", "--profile"], "profile"),
        (["--emit", "pt2", "--verify-each"], "verify_each"),
        (["--emit", "pt2", "--stop-after", "select-stems"], "stop_after"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(options: list[str], message: str, folder: Path) -> None:
    fails_cleanly(run("compile", "untrained:htdemucs?seed=1", *options), 2, message)
    assert files(folder) == []


def test_below_the_gate_nothing_is_written(checkpoint: Path, folder: Path) -> None:
    result = run("compile", checkpoint, "--emit", "pt2", "--min-snr", "400")
    fails_cleanly(result, 1, "parity failed", "below the gate of 400 dB")
    assert files(folder) == []


def test_a_disk_that_is_full_keeps_the_old_file(
    checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "two.pt2").write_bytes(b"old")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", fail)
    result = run("compile", checkpoint, "--emit", "pt2", "--force")
    fails_cleanly(result, 1, "two.pt2: cannot be written (No space left on device)")
    assert files(folder) == ["two.pt2"]
    assert (folder / "two.pt2").read_bytes() == b"old"


FILES = {"Manifest.json": b"{}", "Data/model": b"new"}


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that makes folders, as coremltools does."""
    made = Emitter(target=MLPACKAGE, convert=lambda *_: Converted(FILES, {"conv": 2}), open=None)
    monkeypatch.setitem(EMITTERS, "mlpackage", made)


def content(package: Path) -> dict[str, bytes]:
    files = [path for path in package.rglob("*") if path.is_file()]
    return {path.relative_to(package).as_posix(): path.read_bytes() for path in files}


@pytest.mark.usefixtures("packages")
def test_a_format_that_is_a_folder(checkpoint: Path, folder: Path) -> None:
    result = run("compile", checkpoint, "--emit", "mlpackage", "--report", "report.json")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: a .mlpackage cannot run on this system")
    assert "two.mlpackage: 0.0 MB, 2 operators of 1 kinds" in result.stdout
    assert content(folder / "two.mlpackage") == FILES
    assert files(folder) == ["report.json", "two.mlpackage"]


@pytest.mark.usefixtures("packages")
def test_only_a_package_is_replaced(checkpoint: Path, folder: Path) -> None:
    package = folder / "two.mlpackage"
    (package / "Data").mkdir(parents=True)
    (package / "Data" / "mine").write_bytes(b"precious")
    arguments = ("compile", checkpoint, "--emit", "mlpackage", "--no-verify")
    fails_cleanly(run(*arguments, "--force"), 2, "two.mlpackage has no Manifest.json, and would be replaced")
    (package / "Manifest.json").write_bytes(b"old")
    fails_cleanly(run(*arguments), 2, "two.mlpackage exists; give --force to replace it")
    assert (package / "Data" / "mine").exists()
    succeeds(run(*arguments, "--force"))
    assert content(package) == FILES


@pytest.mark.usefixtures("packages", "loads_nothing")
@pytest.mark.parametrize("option", [["--sha256"], ["--sbom", "bill.json"]])
def test_what_is_of_one_file_is_refused_of_a_folder(option: list[str], folder: Path) -> None:
    result = run("compile", "untrained:htdemucs", "--emit", "mlpackage", "-o", "out.mlpackage", *option)
    fails_cleanly(result, 2, "out.mlpackage is a folder")
    assert files(folder) == []


@pytest.mark.usefixtures("packages")
def test_no_half_of_a_folder(checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", fail)
    result = run("compile", checkpoint, "--emit", "mlpackage", "--no-verify")
    fails_cleanly(result, 1, "cannot be written (No space left on device)")
    assert files(folder) == []


def test_a_tool_that_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(EMITTERS["pt2"], packages={"no_such_tool": "no-such-tool"}, extra="tools")
    monkeypatch.setitem(EMITTERS, "pt2", gone)
    result = run("compile", "untrained:htdemucs", "--emit", "pt2")
    fails_cleanly(result, 1, "no-such-tool", "python -m pip install 'onnx-demucs-compiler[tools]'")
    assert files(folder) == []


def test_verify_measures_it_again(checkpoint: Path, folder: Path) -> None:
    succeeds(run("compile", checkpoint, "--emit", "pt2"))
    facts = strict_json(succeeds(run("verify", "two.pt2", "--json", "--model", checkpoint)))
    assert {item["signal"] for item in facts} == {"noise", "song", "silence"}
    assert min(item["snr_db"] for item in facts if item["signal"] != "silence") > 100
    fails_cleanly(
        run("verify", "two.pt2"), 2, "two.pt2 was compiled from two; give its location with --model"
    )
    fails_cleanly(run("verify", "two.pt2", "--model", checkpoint, "--min-snr", "400"), 1, "400 dB")


@pytest.mark.parametrize(
    ("options", "exit_code", "told"),
    [
        (["two.pte"], 1, "two.pte: no such file"),
        (["two.pt2"], 1, "two.pt2 has no metadata of onnx-demucs-compiler, and was not written by compile"),
        (["two.mlpackage"], 1, "a .mlpackage cannot run on this system"),
        (["two.pt2", "--engine", "litert"], 2, "a .pt2 runs in no engine, and needs none"),
        (["two.tflite", "--engine", "mnn"], 2, "a .tflite runs in no engine but litert"),
        (
            ["two.onnx", "--engine", "executorch"],
            2,
            "--engine executorch runs .pte files, which compile",
        ),
        (["two.onnx", "--contract", "litert"], 2, "litert reads no ONNX graph, which is what contracts"),
        (["two.onnx", "--contract", "coreml"], 2, "compile with --emit mlpackage"),
        (["two.pt2", "--contract", "web"], 2, "are about ONNX graphs, and two.pt2 is none"),
    ],
)
def test_verify_of_what_cannot_be_measured(
    options: list[str], exit_code: int, told: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pte", "tflite", "mlpackage"):
        monkeypatch.setitem(EMITTERS, name, replace(EMITTERS[name], packages={}))
    (folder / "two.pt2").write_bytes(b"no archive" * 100)
    fails_cleanly(run("verify", *options), exit_code, told)


def test_verify_with_other_weights(checkpoint: Path, folder: Path) -> None:
    succeeds(run("compile", checkpoint, "--emit", "pt2", "--quiet"))
    other = write_two_stems(folder / "other.th", seed=1)
    fails_cleanly(run("verify", "two.pt2", "--model", other), 1, "was compiled from other weights")
