"""What a figure was measured on."""

from __future__ import annotations

import datetime
import platform
import re
from pathlib import Path

import onnxruntime
import torch

from onnx_demucs_compiler.runtime.session import physical_cores


def machine() -> dict[str, object]:
    """Processor, physical cores, versions and date, as the results' JSON has them."""
    return {
        "machine": processor(),
        "threads": physical_cores(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def processor() -> str:
    """Its name, and where Linux tells, family and model: clouds give different processors one name."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = dict(re.findall(r"^(.+?)\s*: (.+)$", text, re.MULTILINE))
    if not {"model name", "cpu family", "model"} <= found.keys():
        return platform.processor() or platform.machine()
    return f"{found['model name']} (family {found['cpu family']}, model {found['model']})"
