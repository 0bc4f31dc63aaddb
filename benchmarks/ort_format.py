"""ONNX Runtime's optimisation levels on a model in ORT format.

    python benchmarks/ort_format.py portable=PORTABLE.onnx ort=ORT.onnx [--rounds 3] [--json FILE]

Each model is converted at each level, and at ``basic`` and ``extended`` also without folding what would be
larger than 1 MB. For every file: bytes, nodes, and the operators of its reduced-operator config. It is then
opened by fresh processes, the files in turn in every round: seconds and memory to load, seconds and CPU
seconds of a run (the medians; every process runs it three times and the first run does not count), peak
memory, and how far the output is from that of the ``.onnx`` file (SNR). A session that opens an ``.ort`` file
optimises nothing, so these are the graphs that a minimal build runs; kernels are those of the installed
package.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from benchmark_machine import machine

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.ort.conversion import LEVEL, ort_format
from onnx_demucs_compiler.ort.kernels import resolved
from onnx_demucs_compiler.ort.tools import fbs

FOLDED = {"optimization.constant_folding_max_output_size_in_bytes": "1000000"}
CONVERSIONS: dict[str, tuple[str, dict[str, str]]] = {
    "disable": ("disable", {}),
    "basic": ("basic", {}),
    "basic, folds to 1 MB": ("basic", FOLDED),
    "extended": ("extended", {}),
    "extended, folds to 1 MB": ("extended", FOLDED),
}

ONE_PROCESS = """
import json
import sys
from time import perf_counter, process_time
import numpy as np
import onnxruntime
from benchmark_memory import peak_mb
from onnx_demucs_compiler.runtime.session import session_options
before = peak_mb()
began = perf_counter()
session = onnxruntime.InferenceSession(sys.argv[1], session_options(), providers=["CPUExecutionProvider"])
row = {"load_seconds": perf_counter() - began, "load_mb": peak_mb() - before}
[port] = session.get_inputs()
mix = np.random.default_rng(0).normal(0, 0.1, port.shape).astype(np.float32)
runs = []
for _ in range(3):
    began, cpu = perf_counter(), process_time()
    [stems] = session.run(None, {port.name: mix})
    runs.append((perf_counter() - began, process_time() - cpu))
row["run_seconds"], row["cpu_seconds"] = min(runs[1:])
row["peak_mb"] = peak_mb()
np.save(sys.argv[2], stems)
print(json.dumps(row))
"""


def main() -> None:
    """Print a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", metavar="NAME=MODEL.onnx", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = machine() | {"level": LEVEL, "rounds": arguments.rounds, "models": {}}
    for name, _, path in (text.partition("=") for text in arguments.models):
        with tempfile.TemporaryDirectory() as folder:
            found["models"][name] = _levels(Path(path).resolve(), Path(folder), arguments.rounds)
        for level, row in found["models"][name].items():
            print(name, level, json.dumps(row), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def _levels(path: Path, folder: Path, rounds: int) -> dict[str, dict[str, Any]]:
    """One model's rows: the ``.onnx`` file itself, and each conversion."""
    model = path.read_bytes()
    files = {"onnx": path}
    rows: dict[str, dict[str, Any]] = {
        "onnx": {"bytes": len(model), "nodes": len(onnx.load(path, load_external_data=False).graph.node)}
    }
    for index, (name, (level, entries)) in enumerate(CONVERSIONS.items()):
        converted = ort_format(model, level, entries)
        files[name] = folder / f"{index}.ort"
        files[name].write_bytes(converted)
        rows[name] = {"bytes": len(converted)} | _operators(converted)
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in files}
    for _ in range(rounds):
        for name, file in files.items():
            measured[name].append(_process(file, folder / f"{name}.npy"))
    wanted = np.load(folder / "onnx.npy")
    for name, row in rows.items():
        for figure in measured[name][0]:
            row[figure] = round(statistics.median(run[figure] for run in measured[name]), 2)
        if name != "onnx":
            row["snr_db_to_onnx"] = round(float(snr_db(wanted, np.load(folder / f"{name}.npy"))), 1)
    return rows


def _operators(converted: bytes) -> dict[str, int]:
    file = fbs.InferenceSession.InferenceSession.GetRootAs(bytearray(converted), 0)
    operators = resolved([converted]).operators
    contrib = sum(operator.domain == "com.microsoft" for operator in operators)
    return {
        "nodes": file.Model().Graph().NodesLength(),
        "operators": len(operators),
        "of_com_microsoft": contrib,
    }


def _process(file: Path, stems: Path) -> dict[str, float]:
    command = [sys.executable, "-c", ONE_PROCESS, str(file), str(stems)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent)
    row: dict[str, float] = json.loads(printed.stdout)
    return row


if __name__ == "__main__":
    main()
