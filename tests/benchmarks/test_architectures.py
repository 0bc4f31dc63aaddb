"""``benchmarks/architectures``: the catalogue, one entry compiled and timed, and the results in the docs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import builders
import pytest
from architecture_tables import other_models
from entries import ENTRIES, PACKAGES
from markdown_tables import load

FOLDER = Path(__file__).parents[2] / "benchmarks" / "architectures"
ENTRY = "julius/LowPassFilter"
"""Of a package that this environment has, as demucs needs it."""


def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FOLDER / script), *words], capture_output=True, text=True, check=False
    )


def test_every_entry_has_its_package_and_every_package_an_entry() -> None:
    assert {entry.package for entry in ENTRIES.values()} == PACKAGES.keys()


def test_builders_are_there() -> None:
    named = [entry.make.partition(":") for entry in ENTRIES.values()]
    assert [name for source, _, name in named if source == "builders" and not hasattr(builders, name)] == []


def test_releases_are_pinned_and_never_torch() -> None:
    required = [each for package in PACKAGES.values() for each in package.requires]
    assert [each for each in required if "==" not in each or each.startswith("torch==")] == []


def test_an_entry_compiled_and_timed(tmp_path: Path) -> None:
    graph = tmp_path / "graph.onnx"
    figures: dict[str, Any] = {}
    for step in ("compile", "time"):
        done = run("one.py", step, ENTRY, str(graph))
        assert done.returncode == 0, done.stderr
        figures |= json.loads(done.stdout.splitlines()[-1])
    assert figures["snr_db"] > 100
    assert min(figures["seconds"], figures["torch_seconds"]) > 0


def test_an_unknown_name() -> None:
    done = run("compare.py", "no-such-package")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no-such-package is not in the catalogue" in done.stderr


def test_the_results_are_whole() -> None:
    found = load("architectures")["entries"]
    assert found.keys() == ENTRIES.keys()
    for key, row in found.items():
        assert ("refused" in row) != ("snr_db" in row), key
        assert row["version"] == PACKAGES[ENTRIES[key].package].version


@pytest.mark.parametrize(("kind", "least"), [("network", 40), ("transform", 15)])
def test_most_of_them_compile(kind: str, least: int) -> None:
    rows = [row for row in load("architectures")["entries"].values() if row["kind"] == kind]
    assert sum("snr_db" in row for row in rows) >= least
    assert all(row["snr_db"] >= min(row["torch_snr_db"] - 12, 100) for row in rows if "snr_db" in row)
    assert other_models().count("\n") > least
