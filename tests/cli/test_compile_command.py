"""``onnx-demucs compile`` as a user meets it: exit codes, one clear line, and what is left on the disk."""

import errno
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
import torch
from cli_examples import (
    TWO_STEMS,
    Branching,
    fails_cleanly,
    run,
    strict_json,
    succeeds,
    write_checkpoint,
    write_two_stems,
)
from demucs.demucs import Demucs
from demucs.htdemucs import HTDemucs

from onnx_demucs_compiler import loading
from onnx_demucs_compiler.runtime import Separator


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_song(path: Path, rate: int = 8000) -> Path:
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal((2 * rate, 2)), rate)
    return path


@pytest.fixture
def loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test that gets as far as loading a model."""

    def load(*_: Any, **__: Any) -> None:
        raise AssertionError("work was begun before the request was checked")

    monkeypatch.setattr(loading, "load_model", load)


def test_htdemucs_from_checkpoint_to_stems(folder: Path) -> None:
    options = {"sources": ["drums", "vocals"], "channels": 8, "growth": 2, "nfft": 512, "depth": 1,
               "t_layers": 1, "t_heads": 2, "segment": Fraction(4096, 8000), "samplerate": 8000}  # fmt: skip
    write_checkpoint(folder / "tiny.th", HTDemucs(**options), **options)
    printed = succeeds(run("compile", folder / "tiny.th"))
    assert files(folder) == ["tiny.onnx", "tiny.th"]
    assert "stft-as-matmul" in printed
    assert "tiny.onnx: " in printed
    separator = Separator(folder / "tiny.onnx")
    stems = separator.separate(np.random.default_rng(0).standard_normal((2, 9000)).astype(np.float32))
    assert list(stems) == ["drums", "vocals"]


def test_the_output_is_named_after_the_model(checkpoint: Path, folder: Path) -> None:
    succeeds(run("compile", checkpoint))
    assert files(folder) == ["two.onnx"]
    assert onnx.load(folder / "two.onnx").graph.name == "two"


def test_a_report_for_a_person(checkpoint: Path, folder: Path) -> None:
    printed = succeeds(run("compile", checkpoint, "-o", "out.onnx"))
    for word in (
        "waveform-interface",
        "fired",
        "refused",
        "silence",
        "speech",
        "out.onnx: ",
        "GFLOP",
        "opset 18",
    ):
        assert word in printed


def test_json(checkpoint: Path, folder: Path) -> None:
    report = strict_json(succeeds(run("compile", checkpoint, "-o", "out.onnx", "--json")))
    assert report["output"] == "out.onnx"
    assert report["model"] == "two"
    assert report["bytes"] == (folder / "out.onnx").stat().st_size
    assert {item["signal"] for item in report["fidelity"]} == {"noise", "song", "silence"}


def test_quiet(checkpoint: Path, folder: Path) -> None:
    assert succeeds(run("compile", checkpoint, "-o", "out.onnx", "--quiet")) == ""
    assert files(folder) == ["out.onnx"]


def test_explain(checkpoint: Path, folder: Path) -> None:
    printed = " ".join(succeeds(run("compile", checkpoint, "-o", "out.onnx", "--explain")).split())
    assert "every firing and refusal" in printed
    assert "waveform-interface" in printed
    assert "has no" not in printed


def test_a_report_file(checkpoint: Path, folder: Path) -> None:
    succeeds(run("compile", checkpoint, "-o", "out.onnx", "--report", "report.json", "--quiet"))
    report = strict_json((folder / "report.json").read_text(encoding="utf-8"))
    assert report["model"] == "two"
    assert files(folder) == ["out.onnx", "report.json"]


def test_a_report_as_a_page(checkpoint: Path, folder: Path) -> None:
    succeeds(run("compile", checkpoint, "-o", "out.onnx", "--report", "report.html", "--quiet"))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "<h1>two</h1>" in page
    assert files(folder) == ["out.onnx", "report.html"]


@pytest.mark.usefixtures("loads_nothing")
@pytest.mark.parametrize("name", ["report.txt", "report", "report.htm", ".json", "report.json.gz"])
def test_a_report_of_no_known_kind(name: str, folder: Path) -> None:
    result = run("compile", "two.th", "-o", "out.onnx", "--report", name)
    fails_cleanly(result, 2, f"{name}: a report is a .json or a .html file; give one of these names")
    assert files(folder) == []


def test_a_profile(checkpoint: Path, folder: Path) -> None:
    arguments = ("compile", checkpoint, "-o", "out.onnx", "--report", "report.json", "--profile", "--force")
    assert "operator in ONNX Runtime" in succeeds(run(*arguments))
    report = strict_json((folder / "report.json").read_text(encoding="utf-8"))
    assert any("Conv" in operator for operator in report["operator_seconds"])
    assert all(seconds > 0 for seconds in report["operator_seconds"].values())
    assert report["seconds"]["profile"] >= sum(report["operator_seconds"].values())
    assert files(folder) == ["out.onnx", "report.json"]
    assert "operator in ONNX Runtime" not in succeeds(run(*arguments[:-2], "--force"))


def test_names_with_brackets_are_printed_as_they_are(folder: Path) -> None:
    (folder / "[red]").mkdir()
    write_two_stems(folder / "[red]" / "a[b].th")
    printed = succeeds(run("compile", "[red]/a[b].th", "-o", "[red]/x[0].onnx", "--explain"))
    assert "[red]/x[0].onnx: " in printed
    assert "a[b]" in printed


def test_options_of_today_spelt_out(checkpoint: Path, artifact: Path, folder: Path) -> None:
    options = ("--target", "portable", "--interface", "waveform", "--precision", "fp32", "--opset", "18",
               "--batch", "1", "--length", "segment", "--min-snr", "90", "-q")  # fmt: skip
    succeeds(run("compile", checkpoint, "-o", "out.onnx", *options))
    assert (folder / "out.onnx").read_bytes() == artifact.read_bytes()


def test_without_and_with(checkpoint: Path, folder: Path) -> None:
    arguments = ("compile", checkpoint, "-o", "out.onnx", "--json", "--without", "spectral",
                 "--without", "*-interface", "--with", "stft-as-conv")  # fmt: skip
    report = strict_json(succeeds(run(*arguments)))
    rules = {cost["rule"] for cost in report["costs"]}
    assert "waveform-interface" not in rules
    assert "segment-as-number" in rules
    assert [port.name for port in onnx.load(folder / "out.onnx").graph.output] != ["stems"]


def test_no_verify(checkpoint: Path, folder: Path) -> None:
    assert "not verified" in succeeds(run("compile", checkpoint, "-o", "out.onnx", "--no-verify"))


def test_verify_audio(checkpoint: Path, folder: Path) -> None:
    write_song(folder / "song.wav", 44100)
    report = strict_json(
        succeeds(run("compile", checkpoint, "-o", "out.onnx", "--verify-audio", "song.wav", "--json"))
    )
    assert {item["signal"] for item in report["fidelity"]} == {"noise", "song", "silence", "song.wav"}


def test_a_promise_on_several_songs(checkpoint: Path, folder: Path) -> None:
    (folder / "other").mkdir()
    songs = [write_song(folder / name, 44100) for name in ("song.wav", "other/song.wav")]
    asked = [part for song in songs for part in ("--verify-audio", song)]
    printed = succeeds(run("compile", checkpoint, "-o", "out.onnx", "--quality", "exact", *asked))
    assert "quality exact (100 dB): all of it in float32; nearest to its limit is" in printed
    assert f"| {songs[1]} " in printed.replace("│", "|")
    assert "quality:         exact, 100 dB" in succeeds(run("info", "out.onnx"))
    found = strict_json(
        succeeds(
            run(
                "verify",
                "out.onnx",
                "--model",
                checkpoint,
                "--audio",
                songs[0],
                "--audio",
                songs[1],
                "--json",
            )
        )
    )
    assert {item["signal"] for item in found} == {"noise", "song", "silence", "song.wav", str(songs[1])}


def test_a_model_from_a_folder_of_ones_own(checkpoint: Path, folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "two.th").write_bytes(checkpoint.read_bytes())
    result = run("compile", "two", "--repo", "mine", "-o", "out.onnx", "-q")
    assert result.exit_code in (0, 2), result.output
    succeeds(result)
    assert files(folder) == ["mine", "out.onnx"]


@pytest.mark.usefixtures("loads_nothing")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "gpu"], "target=gpu is not a value it takes; use portable, ort, web, openvino"),
        (
            ["--target", "web", "--track"],
            "target=web excludes track: no WebGPU provider has Loop, and the page",
        ),
        (["--interface", "mag"], "interface=mag is not a value it takes; use waveform, core"),
        (["--precision", "int4"], "precision=int4 is not a value it takes; use fp32, fp16-weights, int8"),
        (["--precision", "int8", "--no-verify"], "--no-verify excludes --precision int8"),
        (["--opset", "16"], "opset=16 is not a value it takes; use 17, 18,"),
        (["--batch", "-1"], "batch='-1' is not a value it takes; use a whole number from 1, or dynamic"),
        (["--length", "long"], "length=long is not a value it takes; use segment, dynamic"),
        (["--track", "--batch", "4"], "track takes one mix of any length and cuts it itself; leave out"),
        (["--track", "--overlap", "1"], "overlap=1.0 is not a value it takes; use one from 0 to below 1"),
        (["--stems", "vocals", "--two-stems", "drums"], "stems and two_stems exclude each other"),
        (["--two-stems", "drums", "--other-method", "minus", "--interface", "core"], "needs the whole mix"),
        (
            ["--bundle", "b", "--ort-format"],
            "--bundle excludes --output, --ort-format, --ops-config and --sha256",
        ),
        (
            ["--bundle", "b", "-o", "x.onnx"],
            "--bundle excludes --output, --ort-format, --ops-config and --sha256",
        ),
        (["--without", "stft-as-matmull"], "did you mean stft-as-matmul?"),
        (["--with", "stft-as-cnov"], "did you mean stft-as-conv?"),
        (["--plugin", "acme"], "no rule pack 'acme' is installed"),
        (["--quality", "best"], "quality=best is not a value it takes; use exact, careful, fast"),
        (["--quality", "fast", "--precision", "int8"], "leave --precision and --min-snr out"),
        (["--quality", "exact", "--min-snr", "90"], "leave --precision and --min-snr out"),
        (["--quality", "exact", "--no-verify"], "--quality is a promise that is measured; leave --no-verify"),
        (
            ["--quality", "fast", "--emit", "pt2"],
            "emit=pt2 is made before there is an ONNX graph, where quality",
        ),
        (["--no-verify", "--min-snr", "90"], "--no-verify excludes"),
        (["--no-verify", "--verify-audio", "song.wav"], "--no-verify excludes"),
        (["--min-snr", "nan"], "--min-snr nan is not a gate"),
        (["--min-snr", "inf"], "--min-snr inf is not a gate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(options: list[str], message: str, folder: Path) -> None:
    fails_cleanly(run("compile", "htdemucs", *options), 2, message)
    assert files(folder) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stems", "guitar"], "the model has no stem guitar; it has speech, noise"),
        (["--stems", "speech,"], "the model has no stem ; it has speech, noise"),
        (["--two-stems", "bass"], "the model has no stem bass; it has speech, noise"),
        (
            ["--length", "dynamic", "--emit", "pt2"],
            "two works in the time domain and counts its padding from the length",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_suit_the_model(
    options: list[str], message: str, checkpoint: Path, folder: Path
) -> None:
    before = files(folder)
    fails_cleanly(run("compile", str(checkpoint), *options), 2, message)
    assert files(folder) == before


@pytest.fixture
def one_source(folder: Path) -> Path:
    facts = TWO_STEMS | {"sources": ["vocals, lead"]}
    return write_checkpoint(folder / "one.th", Demucs(**facts), **facts)


def test_nothing_is_left_of_one_source(one_source: Path, folder: Path) -> None:
    before = files(folder)
    asked = ["compile", one_source, "--two-stems", "vocals, lead", "-q", "-o", "one.onnx"]
    fails_cleanly(run(*asked), 2, "vocals, lead is the model's only stem", "use other_method=minus")
    assert files(folder) == before
    succeeds(run(*asked, "--other-method", "minus"))


def test_a_comma_in_a_name(one_source: Path, folder: Path) -> None:
    succeeds(run("compile", one_source, "--stems", "vocals\\, lead", "-q", "-o", "one.onnx"))
    fails_cleanly(
        run("compile", one_source, "--stems", "vocals, lead", "-o", "x.onnx"),
        2,
        "the model has no stem vocals;",
    )


@pytest.mark.usefixtures("loads_nothing")
def test_an_existing_output_is_kept(folder: Path) -> None:
    (folder / "out.onnx").write_bytes(b"precious")
    fails_cleanly(run("compile", "htdemucs", "-o", "out.onnx"), 2, "out.onnx exists; give --force")
    assert (folder / "out.onnx").read_bytes() == b"precious"


def test_an_existing_output_is_replaced_by_force(checkpoint: Path, artifact: Path, folder: Path) -> None:
    (folder / "out.onnx").write_bytes(b"old")
    succeeds(run("compile", checkpoint, "-o", "out.onnx", "--force", "-q"))
    assert (folder / "out.onnx").read_bytes() == artifact.read_bytes()


@pytest.mark.usefixtures("loads_nothing")
@pytest.mark.parametrize(
    "options",
    [
        ["-o", "two.th", "--force"],
        ["-o", "./two.th", "--force"],
        ["-o", "link.th", "--force"],
        ["--report", "two.th"],
        ["-o", "x.onnx", "--report", "x.onnx"],
        ["-o", "song.wav", "--force", "--verify-audio", "song.wav"],
    ],
    ids=" ".join,
)
def test_outputs_replace_neither_inputs_nor_each_other(options: list[str], folder: Path) -> None:
    (folder / "two.th").write_bytes(b"precious")
    (folder / "link.th").symlink_to("two.th")
    (folder / "song.wav").write_bytes(b"precious")
    fails_cleanly(run("compile", "two.th", *options), 2, "would replace")
    assert (folder / "two.th").read_bytes() == (folder / "song.wav").read_bytes() == b"precious"
    assert files(folder) == ["link.th", "song.wav", "two.th"]


@pytest.mark.usefixtures("loads_nothing")
@pytest.mark.parametrize("option", ["-o", "--report"])
def test_an_output_that_cannot_be_written(option: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_cleanly(run("compile", "htdemucs", option, "absent/out"), 1, "the folder absent does not exist")
    (folder / "taken").mkdir()
    fails_cleanly(run("compile", "htdemucs", option, "taken"), 1, "taken is a folder")
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != "taken")
    fails_cleanly(run("compile", "htdemucs", option, "taken/out"), 1, "the folder taken is not writable")
    assert files(folder) == ["taken"]
    assert files(folder / "taken") == []


def test_a_disk_that_is_full(checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    (folder / "out.onnx").write_bytes(b"old")
    result = run("compile", checkpoint, "-o", "out.onnx", "--force")
    fails_cleanly(result, 1, "out.onnx: cannot be written (No space left on device)")
    assert (folder / "out.onnx").read_bytes() == b"old"
    assert files(folder) == ["out.onnx"]


def test_an_unknown_model(folder: Path) -> None:
    fails_cleanly(run("compile", "htdemucz"), 2, "no model named 'htdemucz'", "did you mean htdemucs?")
    fails_cleanly(run("compile", "untrained:htdemucz"), 2, "htdemucz")
    assert files(folder) == []


def test_a_checkpoint_that_is_not_there(folder: Path) -> None:
    fails_cleanly(run("compile", "absent.th"), 1, "there is no checkpoint absent.th")
    assert files(folder) == []


@pytest.mark.parametrize(
    ("name", "kept", "message"),
    [
        ("half.th", 0.5, "damaged or not a PyTorch file"),
        ("empty.th", 0.0, "damaged or not a PyTorch file"),
        ("deadbeef-00000000.th", 1.0, "does not match the checksum in its name"),
    ],
)
def test_a_checkpoint_that_is_damaged(
    name: str, kept: float, message: str, checkpoint: Path, folder: Path
) -> None:
    content = checkpoint.read_bytes()
    (folder / name).write_bytes(content[: int(kept * len(content))])
    fails_cleanly(run("compile", name, "-o", "out.onnx"), 1, name, message)
    assert files(folder) == [name]


@pytest.mark.parametrize(
    ("name", "message"), [("absent.wav", "no such file"), ("text.wav", "cannot be read")]
)
def test_audio_that_cannot_be_read(name: str, message: str, checkpoint: Path, folder: Path) -> None:
    (folder / "text.wav").write_text("la la la " * 500)
    fails_cleanly(run("compile", checkpoint, "-o", "out.onnx", "--verify-audio", name), 1, name, message)
    assert files(folder) == ["text.wav"]


def test_below_the_gate_nothing_is_written(folder: Path) -> None:
    write_two_stems(folder / "two.th")
    arguments = ("compile", "two.th", "-o", "out.onnx", "--report", "report.json", "--min-snr", "500")
    fails_cleanly(run(*arguments), 1, "parity failed", "below the gate of 500 dB")
    assert files(folder) == ["two.th"]


def test_a_model_that_cannot_be_traced(folder: Path) -> None:
    write_checkpoint(folder / "branching.th", Branching(**TWO_STEMS), **TWO_STEMS)
    fails_cleanly(
        run("compile", "branching.th", "--trust-checkpoint"), 1, "the numbers of an input decide what runs"
    )
    assert files(folder) == ["branching.th"]


def test_a_model_that_does_not_say_what_it_takes(folder: Path) -> None:
    write_checkpoint(folder / "linear.th", torch.nn.Linear(2, 2), 2, 2)
    fails_cleanly(run("compile", "linear.th", "--trust-checkpoint"), 2, "linear does not say what it takes")
    assert files(folder) == ["linear.th"]
