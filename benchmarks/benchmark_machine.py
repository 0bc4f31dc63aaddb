"""The machine of a measurement."""

from __future__ import annotations

import datetime
import platform
import re
from pathlib import Path

import onnxruntime
import torch

from onnx_demucs_compiler.runtime.cores import usable_cores


def machine() -> dict[str, object]:
    """Processor, physical cores, versions and date, as the results' JSON has them."""
    cpuinfo = Path("/proc/cpuinfo")
    return {
        "machine": processor(cpuinfo.read_text() if cpuinfo.exists() else ""),
        "threads": usable_cores(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def processor(cpuinfo: str) -> str:
    """The processor's name, on Linux with family and model.

    Clouds give different processors one name.
    """
    found = dict(re.findall(r"^(.+?)\s*: (.+)$", cpuinfo, re.MULTILINE))
    if not {"model name", "cpu family", "model"} <= found.keys():
        return platform.processor() or platform.machine()
    return f"{found['model name']} (family {found['cpu family']}, model {found['model']})"
