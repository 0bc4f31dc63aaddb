"""README.md: its Python and its commands are run, with a small model in the place of the real one."""

import re
from pathlib import Path

import pytest
import soundfile
from demucs.apply import BagOfModels
from markdown_blocks import ROOT, blocks, commands, prose
from torch import nn
from typer.testing import CliRunner

from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.cli import app
from onnx_demucs_compiler.loading.families.demucs import untrained
from onnx_demucs_compiler.loading.families.demucs.bags import as_one_module
from onnx_demucs_rules.examples import plain_htdemucs

README = ROOT / "README.md"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Songs, in a folder in which ``untrained:htdemucs`` and ``htdemucs_ft`` are small."""
    monkeypatch.setitem(untrained.ARCHITECTURES, "htdemucs", plain_htdemucs)
    monkeypatch.setitem(untrained.ARCHITECTURES, "htdemucs_ft", small_bag)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    for name in ("song.wav", "music/other.wav"):
        soundfile.write(tmp_path / name, synthetic_song(12000, 8000).T, 8000)
    return tmp_path


def small_bag() -> nn.Module:
    """A member for each source, as htdemucs_ft has them."""
    members = [plain_htdemucs(), plain_htdemucs()]
    return as_one_module(BagOfModels(members, [[1.0, 0.0], [0.0, 1.0]]), "htdemucs_ft")


def test_python_runs(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [block] = blocks(README, "python")
    exec(compile(block.text, str(block), "exec"), {})
    assert "dB SNR against float64" in capsys.readouterr().out
    assert sorted(file.name for file in workplace.rglob("stems/**/*.wav")) == ["drums.wav", "vocals.wav"]


def test_commands_run(workplace: Path) -> None:
    runner = CliRunner()
    [block] = [block for block in blocks(README, "sh") if block.text.startswith("onnx-demucs-compile")]
    for arguments in commands(block):
        typed = [
            {"song.mp3": "song.wav"}.get(
                word, f"untrained:{word}" if word in untrained.ARCHITECTURES else word
            )
            for word in arguments
        ]
        result = runner.invoke(app, typed)
        assert result.exit_code == 0, f"{arguments}: {result.output}"
    assert sorted(file.name for file in workplace.rglob("stems/**/*.wav")) == [
        "drums.wav",
        "no_vocals.wav",
        "vocals.wav",
        "vocals.wav",
    ]


def test_plain_commands_do_what_make_does() -> None:
    """Line by line, but for the folder that the programs are in."""
    [block] = [block for block in blocks(README, "sh") if "venv" in block.text]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name, value in (("$(PYTHON)", "python3"), ("$(VENV)", ".venv"), ("$(BIN)/", ""), ("$(DEMO)", "demo")):
        makefile = makefile.replace(name, value)
    recipes = [line.strip() for line in makefile.splitlines() if line.startswith("\t")]
    for line in block.text.replace("$(BIN)/", "").splitlines():
        assert line in recipes or line == ". .venv/bin/activate", line


def test_figures_are_between_their_marks() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count("<!-- figures:start -->") == text.count("<!-- figures:end -->") == 1
    assert text.index("<!-- figures:start -->") < text.index("<!-- figures:end -->")


def test_no_section_comes_twice() -> None:
    headings = re.findall(r"^## .*$", prose(README), re.MULTILINE)
    assert len(headings) == len(set(headings))
