"""Time by operator in onnxruntime-web's WebAssembly, beside ONNX Runtime's.

    make web-install
    python benchmarks/browser/operators.py web.onnx [--rounds 3] [--json FILE]

ONNX Runtime's own profiler times every node of a segment of noise in both, on one thread: in a headless
Chromium, and here. Milliseconds are the least of all rounds; the first run is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "benchmarks"))

import onnxruntime  # noqa: E402
from benchmark_machine import machine  # noqa: E402
from chromium import WasmGraph, chromium, feeds_of  # noqa: E402
from entrants import write_noise  # noqa: E402

from onnx_demucs_compiler.checking.verification import artifact_metadata  # noqa: E402
from onnx_demucs_compiler.runtime.session import session_options  # noqa: E402

if TYPE_CHECKING:
    from onnx_demucs_compiler.runtime.audio import Audio

    Event = dict[str, Any]
    """As ONNX Runtime's profiler writes it; times in microseconds."""

WARM_UP = 1
THREADS = 1


def main() -> None:
    """Profile both, and print the milliseconds of each operator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("graph", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--browser", default="chromium", metavar="PROGRAM")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    graph, times = arguments.graph.resolve(), arguments.rounds + WARM_UP
    with tempfile.TemporaryDirectory() as name, chromium(arguments.browser) as browser:
        folder = Path(name)
        write_noise(graph, folder / "mix.npy")
        feeds = feeds_of(graph, np.load(folder / "mix.npy"))
        wasm = WasmGraph(browser, graph, feeds, folder, threads=THREADS, profile=True)
        for _ in range(times):
            wasm.run()
        found = {"wasm": wasm.profile(), "native": native_profile(graph, feeds, folder, times)}
    results = machine() | browser.versions | {
        "model": artifact_metadata(graph).model,
        "milliseconds": {where: by_operator(events) for where, events in found.items()},
    }  # fmt: skip
    print(json.dumps(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def native_profile(graph: Path, feeds: dict[str, Audio], folder: Path, times: int) -> list[Event]:
    """The events of several runs in ONNX Runtime."""
    options = session_options(THREADS)
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    for _ in range(times):
        session.run(None, feeds)
    events: list[Event] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return events


def by_operator(events: list[Event]) -> dict[str, float]:
    """Milliseconds of all nodes of each operator, most first.

    They are the least of all runs but the first. One with an activation fused into it (``FusedConv``)
    counts as the operator.
    """
    runs = [event for event in events if event["name"] == "model_run"]
    least: dict[str, float] = {}
    for run in sorted(runs, key=lambda event: event["ts"])[WARM_UP:]:
        spent: dict[str, float] = defaultdict(float)
        for event in events:
            inside = run["ts"] <= event["ts"] <= run["ts"] + run["dur"]
            if inside and event["name"].endswith("_kernel_time"):
                spent[event["args"]["op_name"].removeprefix("Fused")] += event["dur"] / 1e3
        for operator, milliseconds in spent.items():
            least[operator] = min(least.get(operator, milliseconds), milliseconds)
    return {operator: round(least[operator], 1) for operator in sorted(least, key=lambda name: -least[name])}


if __name__ == "__main__":
    main()
