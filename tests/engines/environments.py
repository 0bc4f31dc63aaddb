"""The environments of engines in build/engines."""

from pathlib import Path

import pytest

from onnx_demucs_compiler.engines import interpreter


def installed(name: str) -> str:
    """The engine's name, or the test is skipped."""
    if "build" not in Path(interpreter(name)).parts:
        pytest.skip(f"build/engines/{name} is missing: python benchmarks/engines/install.py {name}")
    return name
