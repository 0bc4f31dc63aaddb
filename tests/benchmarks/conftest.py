"""Benchmarks import their neighbours by name."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path += [str(BENCHMARKS), str(BENCHMARKS / "minimal_runtime"), str(BENCHMARKS / "browser")]
