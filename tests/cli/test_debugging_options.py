"""compile --dump, --verify-each and --stop-after."""

import json
from pathlib import Path

from cli_examples import fails_cleanly, run, succeeds


def test_a_dump_and_parity_after_each_rule(checkpoint: Path, folder: Path) -> None:
    printed = succeeds(run("compile", checkpoint, "--dump", "steps", "--verify-each", "--report", "r.json"))
    assert "SNR on noise after each rule (dB)" in printed
    parity = json.loads((folder / "r.json").read_text())["parity"]
    assert [each["moment"] for each in parity[:2]] == ["PyTorch float32", "300-translate"]
    graphs = sorted(path.stem for path in (folder / "steps").glob("*.onnx"))
    assert [each["moment"] for each in parity[1:]] == graphs
    assert all(moment in printed for moment in graphs)


def test_a_dump_is_looked_at_before_the_work_begins(checkpoint: Path, folder: Path) -> None:
    (folder / "steps").mkdir()
    (folder / "steps" / "400-tidy.onnx").touch()
    fails_cleanly(run("compile", checkpoint, "--dump", "steps"), 2, "holds a dump; give --force")
    fails_cleanly(run("compile", checkpoint, "--dump", "."), 2, "is not a dump")
    fails_cleanly(run("compile", checkpoint, "--dump", "no/steps"), 1, "create it first")


def test_stopping_is_a_warning(checkpoint: Path, folder: Path) -> None:
    result = run("compile", checkpoint, "--stop-after", "waveform-interface", "-o", "partial.onnx")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: the graph is as waveform-interface leaves it")
    assert (folder / "partial.onnx").is_file()
    fails_cleanly(run("compile", checkpoint, "--stop-after", "stft-as-conv"), 2, "is a decompose rule")


def test_measuring_needs_verification(checkpoint: Path, folder: Path) -> None:
    fails_cleanly(run("compile", checkpoint, "--no-verify", "--verify-each"), 2, "--no-verify excludes")
    assert list(folder.iterdir()) == []
