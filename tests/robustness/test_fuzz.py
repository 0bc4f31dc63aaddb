"""Damaged and odd inputs give an error line or a correct result. ``benchmarks/fuzz.py`` tries many more."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import onnx
import pytest
import soundfile
from fuzz import MAKERS, Case, Worker, judged
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = {"checkpoints": 12, "models": 50, "audio": 80, "lengths": 150, "command-lines": 80}

GOOD = {"exit_code": 0, "stdout": "", "stderr": "", "noise": "", "traceback": ""}
ERROR = GOOD | {"exit_code": 1, "stderr": "error: it is broken\n"}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_error_line_or_a_correct_result(kind: str, worker: Worker, bases: Path) -> None:
    @settings(
        max_examples=EXAMPLES[kind],
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def try_one(random: Random) -> None:
        with tempfile.TemporaryDirectory(dir=bases.parent) as folder:
            case = MAKERS[kind](random, bases, Path(folder))
            verdict = worker.run(case)
            assert not verdict.problem, f"{verdict.problem}: {case.arguments}\n{verdict.detail}"

    try_one()


@pytest.mark.parametrize(
    ("answer", "left", "problem"),
    [
        (GOOD, ["x.onnx"], ""),
        (ERROR, [], ""),
        (GOOD | {"exit_code": 2, "stderr": "Usage: onnx-demucs"}, [], ""),
        (GOOD | {"exit_code": 1, "traceback": "Traceback (most recent call last)"}, [], "traceback"),
        (GOOD | {"exit_code": 134}, [], "exit code"),
        (GOOD | {"noise": "libthing: warning"}, [], "noise"),
        (ERROR, ["x.onnx"], "files left"),
        (GOOD, [".x.onnx.part"], "files left"),
        (GOOD | {"stderr": "warning: its header lies\n"}, ["x.wav"], ""),
        (ERROR | {"stderr": "warning: its header lies\nerror: it is broken\n"}, [], ""),
        (GOOD | {"exit_code": 1}, [], "no error line"),
        (GOOD | {"exit_code": 1, "stderr": "warning\nerror: it is broken\n"}, [], "no error line"),
        (GOOD | {"exit_code": 2, "stderr": "what?"}, [], "no usage"),
        (GOOD | {"stderr": "a warning"}, [], "words on stderr"),
    ],
    ids=json.dumps,
)
def test_what_is_a_failure(answer: dict[str, object], left: list[str], problem: str) -> None:
    assert judged(answer, left).problem == problem


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import os; os.abort()", "crash"),
        ("raise SystemExit(3)", "crash"),
        ("import time; time.sleep(60)", "hang"),
    ],
)
def test_a_process_that_does_not_answer(
    code: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fuzz

    (tmp_path / "fuzz_worker.py").write_text(code)
    monkeypatch.setattr(fuzz, "HERE", tmp_path)
    monkeypatch.setattr(fuzz, "TIME_LIMIT", 3)
    assert Worker().run(Case("models", tmp_path, ["rules"])).problem == problem


def run(worker: Worker, folder: Path, *arguments: object) -> str:
    """What a command that keeps its promises says on stderr."""
    verdict = worker.run(Case("found", folder, [str(argument) for argument in arguments]))
    assert not verdict.problem, f"{verdict.problem}\n{verdict.detail}"
    return verdict.detail


def changed(bases: Path, path: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    proto = onnx.load(bases / "small.onnx")
    change(proto)
    onnx.save(proto, path)
    return path


def test_found_metadata_that_is_no_text(worker: Worker, bases: Path, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(
        (bases / "small.onnx").read_bytes().replace(b"sample_rate", b"sample\xffrate")
    )
    assert "its texts are not UTF-8" in run(worker, tmp_path, "separate", "x.onnx", bases / "song.wav")


def test_found_a_graph_that_cannot_run(worker: Worker, bases: Path, tmp_path: Path) -> None:
    def cut(proto: onnx.ModelProto) -> None:
        [bias] = [item for item in proto.graph.initializer if item.name == "decoder.0.conv_tr.bias"][:1]
        bias.dims[:] = [1, *bias.dims]

    path = changed(bases, tmp_path / "x.onnx", cut)
    told = run(worker, tmp_path, "verify", path, "--model", bases / "small.th")
    assert "was changed after it was compiled" in told
    assert "; ONNX Runtime cannot " in told


def test_found_a_segment_beyond_counting(worker: Worker, bases: Path, tmp_path: Path) -> None:
    def stretch(proto: onnx.ModelProto) -> None:
        [fact] = [item for item in proto.metadata_props if item.key == "onnx_demucs.segment"]
        fact.value = str(64 * 10**18)

    path = changed(bases, tmp_path / "x.onnx", stretch)
    assert "samples, which no graph takes" in run(
        worker, tmp_path, "verify", path, "--model", bases / "small.th"
    )


def test_found_more_threads_than_there_can_be(worker: Worker, bases: Path, tmp_path: Path) -> None:
    arguments = ("separate", bases / "small.onnx", bases / "song.wav", "--threads", 2**31)
    assert "--threads" in run(worker, tmp_path, *arguments)


def test_found_what_mpg123_says_of_damage(worker: Worker, bases: Path, tmp_path: Path) -> None:
    """Past Python, on the stream where errors are one line."""
    path = tmp_path / "x.mp3"
    soundfile.write(path, np.zeros((8000, 2)), 8000, format="MP3")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8] = bytes(8)
    path.write_bytes(data)
    told = run(worker, tmp_path, "separate", bases / "small.onnx", path, "--quiet")
    assert "llegal" not in told


def test_found_a_device_without_an_end(worker: Worker, bases: Path, tmp_path: Path) -> None:
    for arguments in (("compile", "/dev/zero"), ("verify", bases / "small.onnx", "--model", "/dev/full")):
        assert "is not a regular file" in run(worker, tmp_path, *arguments)
