"""What the precisions cost and save: bytes, SNR, seconds to load and to run, memory.

    python benchmarks/precision.py [--model untrained:htdemucs] [--target ort] [--floors 20 40] [--rounds 5]
        [--bag untrained:htdemucs_ft] [--skip-kinds] [--json benchmarks/results/precision.json]

All graphs run in turn, each in a process of its own. "released" is MODEL from a checkpoint in half precision,
as demucs' own serialisation writes it; the others have MODEL's weights in float32, which are rounded. SNR is
of the worst stem against the model in float64, and for the ways to quantise against the graph in float32.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from benchmark_machine import machine
from demucs import states
from entrants import Entrant, in_turn
from int8_kinds import kinds

import onnx_demucs_compiler
from onnx_demucs_compiler.fidelity import snr_db
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.runtime.session import create_session, physical_cores
from onnx_demucs_compiler.stages.weights import weights_in
from onnx_demucs_compiler.verify import artifact_metadata

if TYPE_CHECKING:
    from onnx_demucs_compiler.loading import SourceModel

WARM_UP = 2
LOADS = 3
RELEASED = "released, "


def main() -> None:
    """Compile, run in turn, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="untrained:htdemucs")
    parser.add_argument("--bag", default="untrained:htdemucs_ft", help="of this one the size alone; or none")
    parser.add_argument("--target", default="ort")
    parser.add_argument("--floors", type=float, nargs="*", default=[20, 40], help="of int8, in dB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip-kinds", action="store_true", help="leave out the ways to quantise")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        graphs = _compiled(arguments.model, arguments.target, arguments.floors, folder)
        ways = {} if arguments.skip_kinds else _ways(arguments.model, folder)
        _timed(graphs | ways, folder, arguments.rounds)
        _compare_bits(graphs, folder)
        for way, figures in ways.items():
            figures["snr_db"] = _snr_to_float32(way, folder)
    results = (
        machine() | {"model": arguments.model, "target": arguments.target} | {"graphs": graphs, "kinds": ways}
    )
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


def _ways(model: str, folder: Path) -> dict[str, dict[str, Any]]:
    """The graph in float32 with its weights in eight bits, each way that there is."""
    known = load_model(model).module.state_dict()
    source = folder / "fp32.onnx"
    stored = {item.name for item in _initializers(source) if weights_in(item.name, known)}
    ways: dict[str, dict[str, Any]] = {}
    for name, quantise in kinds(stored).items():
        path = folder / f"{name}.onnx"
        quantise(source, path)
        ways[name] = {"bytes": path.stat().st_size}
    return ways


def _initializers(path: Path) -> Any:
    import onnx

    return onnx.load(path).graph.initializer


def _timed(graphs: dict[str, dict[str, Any]], folder: Path, rounds: int) -> None:
    """Add medians of the seconds to load and to run, and the peak memory, to each graph's figures."""
    loads: dict[str, list[tuple[float, float]]] = {name: [] for name in graphs}
    for _ in range(LOADS):
        for name in graphs:
            start, spent = perf_counter(), process_time()
            create_session(folder / f"{name}.onnx")
            loads[name].append((perf_counter() - start, process_time() - spent))
    metadata = artifact_metadata(folder / "fp32.onnx")
    shape = 1, metadata.audio_channels, metadata.segment
    np.save(folder / "mix.npy", 0.1 * np.random.default_rng(0).standard_normal(shape, np.float32))
    opened = {
        name: Entrant("session", str(folder / f"{name}.onnx"), folder / "mix.npy", folder / f"{name}.npy",
                      physical_cores()) for name in graphs
    }  # fmt: skip
    for name, turns in in_turn(opened, rounds + WARM_UP).items():
        steady = turns[WARM_UP:]
        graphs[name] |= {
            "load_seconds": round(median(wall for wall, _ in loads[name]), 2),
            "load_cpu_seconds": round(median(cpu for _, cpu in loads[name]), 2),
            "seconds": round(median(turn.seconds for turn in steady), 3),
            "cpu_seconds": round(median(turn.cpu_seconds for turn in steady), 3),
            "peak_rss_mb": max(turn.peak_mb for turn in turns),
        }


def _compare_bits(graphs: dict[str, dict[str, Any]], folder: Path) -> None:
    full, half = (np.load(folder / f"{RELEASED}{each}.npy") for each in ("fp32", "fp16-weights"))
    graphs[f"{RELEASED}fp16-weights"]["same_bits_as_fp32"] = bool(np.array_equal(full, half))


def _snr_to_float32(name: str, folder: Path) -> float:
    plain, quantised = (np.load(folder / f"{each}.npy") for each in ("fp32", name))
    return round(min(snr_db(plain[:, stem], quantised[:, stem]) for stem in range(plain.shape[1])), 1)


def _bag(model: str) -> dict[str, Any]:
    source = load_model(model)
    for value in source.module.state_dict().values():
        value.copy_(value.half())
    compiled = onnx_demucs_compiler.compile(source, precision="fp16-weights", verify=False)
    return {"bytes": compiled.report.bytes, "stored": compiled.report.stored}


if __name__ == "__main__":
    main()
