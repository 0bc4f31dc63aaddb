"""Formats beside ONNX against ONNX Runtime: SNR, size and seconds.

    python benchmarks/formats/install.py
    python benchmarks/formats/compare.py MODEL [--formats pt2 tflite ...] [--rounds 5] [--threads 2]
        [--json benchmarks/results/formats.json]

MODEL is compiled to the portable ONNX file and to each format, which its tool's environment in build/formats
makes. Then every file is opened in a process of its own, and each in turn runs one segment of noise. ``aoti``
is the .pt2 compiled by AOTInductor. SNR is that of the worst stem on noise against the model in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmark_machine import machine

from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.loading import load_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / "build" / "formats"
WORKER = Path(__file__).with_name("worker.py")
EXTRAS = {"tflite": "litert", "pte": "executorch"}
MIX = "mix.npy"
FORMATS = ("pt2", "aoti", "tflite", "pte")


def main() -> None:
    """Compile, open and time; write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = {name: made(arguments.model, name, folder) for name in ("onnx", *arguments.formats)}
        wanted = reference(arguments.model, folder / MIX)
        workers = {
            name: Worker(name, facts["file"], arguments.threads, folder) for name, facts in files.items()
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in files}
        for _ in range(arguments.rounds):
            for name, worker in workers.items():
                runs[name].append(worker.run())
        rows = {name: row_of(facts, worst_stem(wanted, np.load(folder / f"{name}.npy")), runs[name])
                for name, facts in files.items()}  # fmt: skip
        for worker in workers.values():
            worker.close()
    found = machine() | {"threads": arguments.threads, "model": arguments.model, "formats": rows}
    print(json.dumps(found, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def python_of(name: str) -> str:
    """The interpreter that makes and runs a format."""
    extra = EXTRAS.get(name)
    return str(ENVIRONMENTS / extra / "bin" / "python") if extra else sys.executable


def made(model: str, name: str, folder: Path) -> dict[str, Any]:
    """Compile a model to a format, and tell file and seconds."""
    began = perf_counter()
    if name == "aoti":
        file = folder / "model.aoti.pt2"
        code = (
            "import sys, torch; program = torch.export.load(sys.argv[1]); "
            "torch._inductor.aoti_compile_and_package(program, package_path=sys.argv[2])"
        )
        source = folder / "model.pt2"
        if not source.exists():
            made(model, "pt2", folder)
        began = perf_counter()
        subprocess.run([sys.executable, "-c", code, source, file], check=True)
        return {"file": file, "seconds": perf_counter() - began}
    file = folder / f"model.{name}"
    emit = [] if name == "onnx" else ["--emit", name]
    command = [python_of(name), "-m", "onnx_demucs_compiler", "compile", model, *emit]
    subprocess.run([*command, "-o", file, "--quiet", "--force"], check=True)
    return {"file": file, "seconds": perf_counter() - began}


def reference(model: str, mix: Path) -> NDArray[Any]:
    """Write a segment of noise; its stems by the model in float64."""
    source = load_model(model)
    noise = source.example()[0]
    np.save(mix, noise.numpy())
    with torch.inference_mode():
        stems: NDArray[Any] = source.module.double()(noise.double()).numpy()
    return stems


def worst_stem(wanted: NDArray[Any], found: NDArray[Any]) -> float:
    """The least SNR of a stem in dB."""
    return min(snr_db(wanted[:, stem], found[:, stem]) for stem in range(wanted.shape[1]))


class Worker:
    """A file open in a process of its own."""

    def __init__(self, name: str, file: Path, threads: int, folder: Path) -> None:
        """Start it, and wait until it has run once."""
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        log = (folder / f"{name}.log").open("wb")
        self._process = subprocess.Popen(
            [python_of(name), WORKER, name, file, str(threads), folder / MIX, folder / f"{name}.npy"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        self._answer()

    def run(self) -> dict[str, float]:
        """Run one segment; seconds by the clock and of all threads."""
        assert self._process.stdin
        print(file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout
        facts: dict[str, float] = json.loads(self._process.stdout.readline())
        return facts


def row_of(facts: dict[str, Any], snr: float, runs: list[dict[str, float]]) -> dict[str, Any]:
    """The figures of one file."""
    seconds = [run["seconds"] for run in runs]
    return {
        "bytes": facts["file"].stat().st_size,
        "snr_db": round(snr, 1),
        "compile_seconds": round(facts["seconds"]),
        "seconds": round(median(seconds), 3),
        "least_seconds": round(min(seconds), 3),
        "cpu_seconds": round(median([run["cpu_seconds"] for run in runs]), 3),
    }


if __name__ == "__main__":
    main()
