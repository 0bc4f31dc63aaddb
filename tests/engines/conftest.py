"""Helpers of benchmarks by name, and the environments that ``benchmarks/engines/install.py`` makes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnx_demucs_compiler.engines import ENVIRONMENTS

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks" / "engines"))


@pytest.fixture(autouse=True, scope="session")
def environments() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENVIRONMENTS, str(ROOT / "build" / "engines"))
        patch.setenv("MALLOC_PERTURB_", "165")  # memory that nobody wrote to is never zero by luck
        yield
