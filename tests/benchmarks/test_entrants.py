"""What timings rest on: which processor it was, and that processes run in turn once all have opened."""

import platform
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_machine import processor
from entrants import KINDS, Entrant, in_turn
from speed import PRODUCTS

CPUINFO = (
    "processor\t: 0\ncpu family\t: {family}\nmodel\t\t: {model}\nmodel name\t: AMD EPYC\nstepping\t: 1\n\n"
)


def test_two_processors_of_one_name_are_told_apart() -> None:
    older, newer = (processor(2 * CPUINFO.format(family=family, model=2)) for family in (25, 26))
    assert (older, newer) == ("AMD EPYC (family 25, model 2)", "AMD EPYC (family 26, model 2)")


@pytest.mark.parametrize("cpuinfo", ["", "Hardware\t: BCM2835\nmodel name\t: ARMv7\n"])
def test_elsewhere_a_processor_is_what_python_calls_it(cpuinfo: str) -> None:
    assert processor(cpuinfo) == (platform.processor() or platform.machine())


@pytest.mark.parametrize("kind", PRODUCTS.values())
def test_a_product_is_one(kind: str) -> None:
    result = KINDS[kind]("64", torch.get_num_threads())(np.zeros(0, np.float32))
    assert result.shape == (64, 64)
    assert result.std() == pytest.approx(8, rel=0.1)


def test_every_entrant_runs_in_every_round(tmp_path: Path) -> None:
    mix = tmp_path / "mix.npy"
    np.save(mix, np.zeros(1, np.float32))
    opened = {
        size: Entrant("ort product", size, mix, tmp_path / f"{size}.npy", 1) for size in ("16", "32", "48")
    }
    runs = in_turn(opened, 2)
    assert {size: len(turns) for size, turns in runs.items()} == {"16": 2, "32": 2, "48": 2}
    assert {size: len(np.load(opened[size].stems)) for size in runs} == {"16": 16, "32": 32, "48": 48}


def test_a_source_that_does_not_open_ends_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.onnx"
    with pytest.raises(SystemExit, match=r"missing\.onnx does not open as default"):
        Entrant("default", str(missing), tmp_path / "mix.npy", tmp_path / "stems.npy", 1)
    assert "File doesn't exist" in capfd.readouterr().err
