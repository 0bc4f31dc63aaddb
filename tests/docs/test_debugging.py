"""docs/debugging.md: its Python is run, and what it says is printed and left is compared with what is."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from markdown_blocks import ROOT, blocks

DOCUMENT = ROOT / "docs" / "debugging.md"
MISTAKE, OBSERVER = blocks(DOCUMENT, "python")
PRINTED, GRAPHS = (block.text for block in blocks(DOCUMENT, "text"))
[DIFF] = (block.text for block in blocks(DOCUMENT, "diff"))


def run(code: str, folder: Path) -> str:
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, str(DOCUMENT), "exec"), {"__name__": "document"})
    return printed.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("debugging")
    (folder / "printed.txt").write_text(run(MISTAKE.text, folder), encoding="utf-8")
    return folder


def without_figures(text: str) -> str:
    """A machine's own rounding moves what is measured, and demucs its lines."""
    return re.sub(r"(hdemucs\.py:)\d+|-?\d+(\.\d+)?(?=( to \S+)? dB)", r"\1N", " ".join(text.split()))


def test_the_blame_is_the_documented_one(folder: Path) -> None:
    printed = (folder / "printed.txt").read_text(encoding="utf-8")
    assert without_figures(printed) == without_figures(PRINTED)
    assert " dB at sigmoid-as-tanh (firing 6 of 8, encoder.0, hdemucs.py:" in printed


def test_the_dump_is_the_documented_one(folder: Path) -> None:
    graphs = sorted(path.name for path in (folder / "steps").glob("*.onnx"))
    assert graphs == GRAPHS.split()


def test_the_diff_is_the_documented_one(folder: Path) -> None:
    [file] = (folder / "steps").glob("*-sigmoid-as-tanh.diff")

    def anonymous(text: str) -> str:
        return re.sub(r"(node|val)_\w+", r"\1", text)

    assert anonymous(DIFF) in anonymous(file.read_text(encoding="utf-8"))


def test_the_observer_looks(tmp_path: Path) -> None:
    first, *_, last = run(OBSERVER.text, tmp_path).splitlines()
    assert re.fullmatch(r"300-translate \d+", first)
    assert re.fullmatch(r"5\d\d-\S+ \d+", last)
