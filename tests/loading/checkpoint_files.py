"""Checkpoints in the formats that demucs publishes."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from safetensors.torch import save_file


def write_safetensors(path: Path, package: dict[str, Any], **metadata: str) -> Path:
    """Write a package as ``tools/export_hf.py`` of demucs does, with parts of its metadata replaced."""
    klass = package["klass"]
    described = {
        "klass": f"{klass.__module__}.{klass.__qualname__}",
        "args": json.dumps(package["args"]),
        "kwargs": json.dumps(package["kwargs"], default=_fraction),
    }
    save_file(package["state"], path, described | metadata)
    return path


def _fraction(value: object) -> dict[str, Any]:
    assert isinstance(value, Fraction)
    return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}
