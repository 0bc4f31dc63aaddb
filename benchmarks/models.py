"""Every model that demucs ships, compiled at full width and measured.

    python benchmarks/models.py [NAME ...] [--target portable] [--seconds 8] [--save FOLDER] [--json FILE]

Models whose segment is longer than ``--seconds`` (44 s in the bags of mdx) are compiled for that many
seconds, rounded down to a whole number of hops. Each is compiled in a fresh process. SNR is that of the worst
stem on noise and on the synthetic song, against the same model in float64. With ``--json`` rows are added to
those that the file has; with ``--save`` the graphs are kept, as ``NAME-TARGET.onnx``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmark_memory import peak_mb

import onnx_demucs_compiler
from onnx_demucs_compiler import CompilerError
from onnx_demucs_compiler.loading import load_model
from onnx_demucs_compiler.loading.families.demucs.length import hop_of
from onnx_demucs_compiler.loading.families.demucs.untrained import ARCHITECTURES
from onnx_demucs_compiler.targets import TARGETS


def main() -> None:
    """Print a line of JSON for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(ARCHITECTURES))
    parser.add_argument("--target", choices=TARGETS, default="portable")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--save", type=Path, metavar="FOLDER")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--here", action="store_true", help="compile the one NAME in this process")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.names[0], arguments.target, arguments.seconds, arguments.save)))
        return
    options = ["--target", arguments.target, "--seconds", str(arguments.seconds)]
    if arguments.save:
        arguments.save.mkdir(exist_ok=True)
        options += ["--save", str(arguments.save)]
    rows = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else {}
    for name in arguments.names:
        command = [sys.executable, __file__, name, "--here", *options]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        row = json.loads(printed.splitlines()[-1])
        print(json.dumps({name: row}), flush=True)
        rows.setdefault(name, {})[arguments.target] = row
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def measure(name: str, target: str, seconds: float, folder: Path | None) -> dict[str, Any]:
    """Compile one model and gather the figures."""
    source = load_model(f"untrained:{name}")
    rate = source.sample_rate or 44100
    segment = source.segment or 0
    hop = hop_of(source.module)
    length: int | str = "segment" if segment <= seconds * rate else int(seconds * rate) // hop * hop
    parameters = sum(parameter.numel() for parameter in source.module.parameters())
    del source  # which the compile would hold beside its own
    began = perf_counter()
    try:
        compiled = onnx_demucs_compiler.compile(f"untrained:{name}", target=target, length=length)
    except CompilerError as error:
        return {"parameters": parameters, "error": str(error)}
    took = round(perf_counter() - began)
    if folder:
        compiled.save(folder / f"{name}-{target}.onnx")
    report = compiled.report
    worst = {
        f"{signal}_{whose}": min(getattr(item, field) for item in report.fidelity if item.signal == signal)
        for signal in ("noise", "song")
        for whose, field in (("snr_db", "snr_db"), ("torch_snr_db", "torch_snr_db"))
    }
    return {
        "parameters": parameters,
        "audio_seconds": round(compiled.metadata.segment / rate, 2),
        "nodes": report.nodes,
        "bytes": report.bytes,
        "compile_seconds": took,
        "peak_mb": peak_mb(),
        **{key: round(value, 1) for key, value in worst.items()},
    }


if __name__ == "__main__":
    main()
