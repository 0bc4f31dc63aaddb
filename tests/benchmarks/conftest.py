"""Benchmarks import their neighbours by name."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FOLDERS = ("minimal_runtime", "browser", "formats", "architectures")
sys.path += map(str, (BENCHMARKS, *(BENCHMARKS / name for name in FOLDERS)))
