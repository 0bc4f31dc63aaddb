"""Bytes, SNR, seconds to load and to run, and memory by precision.

    python benchmarks/precision.py [--model untrained:htdemucs] [--target ort] [--floors 20 40] [--rounds 5]
        [--bag untrained:htdemucs_ft] [--json benchmarks/results/precision.json]

All graphs run in turn, each in a process of its own. "released" is MODEL from a checkpoint in half precision,
as demucs' own serialisation writes it; the others have MODEL's weights in float32, which are rounded. SNR is
of each stem against the model in float64.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from benchmark_machine import machine
from demucs import states
from entrants import timed

import onnx_demucs_compiler
from onnx_demucs_compiler.loading import load_model

if TYPE_CHECKING:
    from onnx_demucs_compiler.loading import SourceModel

RELEASED = "released, "


def main() -> None:
    """Compile, run in turn, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="untrained:htdemucs")
    parser.add_argument("--bag", default="untrained:htdemucs_ft", help="of this one the size alone; or none")
    parser.add_argument("--target", default="ort")
    parser.add_argument("--floors", type=float, nargs="*", default=[20, 40], help="of int8, in dB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graphs = _compiled(arguments.model, arguments.target, arguments.floors, folder)
        found, stems = timed({each: folder / f"{each}.onnx" for each in graphs}, arguments.rounds)
        for each, row in found.items():
            graphs[each] |= row
        full, half = (stems[f"{RELEASED}{each}"] for each in ("fp32", "fp16-weights"))
        graphs[f"{RELEASED}fp16-weights"]["same_bits_as_fp32"] = bool(np.array_equal(full, half))
    results: dict[str, Any] = machine() | {"model": arguments.model, "target": arguments.target}
    results |= {"graphs": graphs}
    if arguments.bag != "none":
        results["bag"] = {"model": arguments.bag} | _bag(arguments.bag)
    print(json.dumps(results, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def _compiled(model: str, target: str, floors: list[float], folder: Path) -> dict[str, dict[str, Any]]:
    checkpoint = _released(model, folder / "half.th")
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        f"{RELEASED}fp32": (str(checkpoint), {}),
        f"{RELEASED}fp16-weights": (str(checkpoint), {"precision": "fp16-weights"}),
        "fp32": (model, {}),
        "fp16-weights": (model, {"precision": "fp16-weights"}),
    }
    for floor in floors:
        wanted[f"int8, {floor:g} dB"] = (model, {"precision": "int8", "min_snr_db": floor})
    return {
        name: _graph(source, folder / f"{name}.onnx", target=target, **options)
        for name, (source, options) in wanted.items()
    }


def _released(model: str, path: Path) -> Path:
    """A checkpoint as demucs writes it, with the weights in half precision."""
    module: Any = load_model(model).module
    args, kwargs = module._init_args_kwargs
    state = states.get_state(module, None, half=True)
    torch.save(
        {"klass": type(module), "args": args, "kwargs": kwargs, "state": state, "training_args": {}}, path
    )
    return path


def _graph(source: SourceModel | str, path: Path, **options: Any) -> dict[str, Any]:
    start = perf_counter()
    compiled = onnx_demucs_compiler.compile(source, **options)
    seconds = perf_counter() - start
    compiled.save(path)
    report = compiled.report
    signals = sorted({item.signal for item in report.fidelity if not item.silent})
    figures = {
        "bytes": path.stat().st_size,
        "stored": report.stored,
        "nodes": report.nodes,
        "compile_seconds": round(seconds),
        "snr_db": {
            signal: {item.output: round(item.snr_db, 1) for item in report.fidelity if item.signal == signal}
            for signal in signals
        },
        "kept": len(report.options["keep"]),
    }
    print(path.stem, figures, file=sys.stderr, flush=True)
    return figures


def _bag(model: str) -> dict[str, Any]:
    source = load_model(model)
    for value in source.module.state_dict().values():
        value.copy_(value.half())
    compiled = onnx_demucs_compiler.compile(source, precision="fp16-weights", verify=False)
    return {"bytes": compiled.report.bytes, "stored": compiled.report.stored}


if __name__ == "__main__":
    main()
