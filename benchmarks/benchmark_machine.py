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
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return {
        "machine": found[1] if found else platform.processor() or platform.machine(),
        "threads": physical_cores(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }
