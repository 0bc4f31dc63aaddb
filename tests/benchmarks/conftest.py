"""Benchmarks import their neighbours by name."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path += map(str, (BENCHMARKS, *(BENCHMARKS / name for name in ("minimal_runtime", "browser", "formats"))))
