"""An artifact on a machine's devices: SNR against the CPU, seconds.

python benchmarks/devices.py MODEL.onnx [--devices cuda …] [--runs 5] [--json FILE]

Without --devices all that the installed ONNX Runtime has providers for. Segments run in turn, the device's
and the CPU's, after one each that is not counted. Nodes are counted by provider, from ONNX Runtime's own
profile.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from markdown_tables import table

from onnx_demucs_compiler.runtime.devices import CPU, DEVICES, Device, DeviceError, find_device
from onnx_demucs_compiler.runtime.graph import Graph
from onnx_demucs_compiler.runtime.health import agreement_db

COLUMNS = ("device", "snr_db", "seconds_to_open", "seconds", "seconds_on_cpu", "nodes", "problem")


def main() -> None:
    """Measure and print."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("model", type=Path)
    parser.add_argument("--devices", nargs="+", default=[one.name for one in DEVICES if one.is_available])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [measure(options.model, find_device(name), options.runs) for name in options.devices]
    print(table(list(COLUMNS), [[row.get(column, "") for column in COLUMNS] for row in rows]))
    if options.json:
        found = {"platform": platform.platform(), "onnxruntime": onnxruntime.__version__, "devices": rows}
        options.json.write_text(f"{json.dumps(found, indent=2)}\n", encoding="utf-8")


def measure(model: Path, device: Device, runs: int) -> dict[str, Any]:
    """One device's row; where it does not run, the reason."""
    cpu = Graph(model)
    began = perf_counter()
    try:
        graph = Graph(model, None, device)
        opened = perf_counter() - began
        snr = agreement_db(graph, cpu)
    except DeviceError as error:
        return {"device": device.name, "problem": str(error)}
    shape = (cpu.batch, cpu.metadata.audio_channels, cpu.metadata.segment)
    mix = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    seconds: dict[str, list[float]] = {"device": [], "cpu": []}
    for _ in range(runs + 1):
        for name, one in (("device", graph), ("cpu", cpu)):
            began = perf_counter()
            one.run(mix)
            seconds[name].append(perf_counter() - began)
    medians = {name: round(statistics.median(times[1:]), 4) for name, times in seconds.items()}
    return {
        "device": device.name,
        "snr_db": round(snr, 1) if math.isfinite(snr) else str(snr),
        "seconds_to_open": round(opened, 3),
        "seconds": medians["device"],
        "seconds_on_cpu": medians["cpu"],
        "nodes": nodes_by_provider(model, device),
    }


def nodes_by_provider(model: Path, device: Device) -> dict[str, int]:
    """The nodes that each provider ran, by its name."""
    if device is CPU:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        chain = [device.provider, *filter(None, [device.helper]), CPU.provider]
        session = onnxruntime.InferenceSession(model, options, chain, enable_fallback=0)
        feeds = {
            port.name: np.zeros([size if isinstance(size, int) else 1 for size in port.shape], np.float32)
            for port in session.get_inputs()
        }
        session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran = [event["args"].get("provider") for event in events if event.get("cat") == "Node"]
    return dict(Counter(provider for provider in ran if provider))


if __name__ == "__main__":
    main()
