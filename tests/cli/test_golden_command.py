"""Golden vectors, as a user meets them."""

from pathlib import Path

from cli_examples import fails_cleanly, run, succeeds


def test_golden(folder: Path) -> None:
    assert succeeds(run("golden", "-o", "vectors", "--n-fft", 64)) == "vectors/README.md\n"
    assert sorted(path.name for path in (folder / "vectors").iterdir()) == [
        "README.md",
        "core",
        "openkara",
        "spectral",
        "waveform",
    ]
    fails_cleanly(run("golden", "-o", "vectors"), 2, "vectors exists; give --force")
    assert succeeds(run("golden", "-o", "vectors", "--force", "-q")) == ""
    fails_cleanly(run("golden", "-o", "other", "--n-fft", 100), 2, "--n-fft takes a power of two")
    fails_cleanly(run("golden", "-o", "absent/other"), 1, "the folder absent does not exist")
    assert [path.name for path in folder.iterdir()] == ["vectors"]
