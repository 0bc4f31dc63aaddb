"""Artifacts in every engine, for docs/deployment/engines.md.

    python benchmarks/engines/install.py
    python benchmarks/engines/compare.py small [MODEL.onnx ...] [--engines NAME ...] [--rounds 3]
        [--json benchmarks/results/engines.json]

``small`` is compiled anew: an HTDemucs of few parameters. Each engine runs in turn with ONNX Runtime, on one
thread, as in ``verify --engine``. Figures are added to those in the file; ``make figures`` fills the table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

from benchmark_machine import machine
from small_model import small_model

from onnx_demucs_compiler import compile  # noqa: A004
from onnx_demucs_compiler.checking.other_engine import compare
from onnx_demucs_compiler.engines import ENGINES, ENVIRONMENTS
from onnx_demucs_compiler.engines.process import EngineError

if TYPE_CHECKING:
    from onnx_demucs_compiler.engines.engine import Engine

SMALL = "small"
INSTALLED = Path(__file__).resolve().parents[2] / "build" / "engines"


def main() -> None:
    """Run each model in each engine; write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault(ENVIRONMENTS, str(INSTALLED))
    file: Path | None = arguments.json
    found = json.loads(file.read_text(encoding="utf-8")) if file and file.exists() else {}
    results: dict[str, Any] = machine() | {
        "load_average": round(os.getloadavg()[0], 1),
        "models": found.get("models", {}),
    }
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.models:
            path = _small(Path(folder)) if model == SMALL else Path(model)
            rows = results["models"].setdefault(path.stem, {})
            for name in arguments.engines:
                rows[name] = row_of(path, ENGINES[name], arguments.rounds)
                print(path.stem, name, json.dumps(rows[name]), flush=True)
            if file:
                file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def row_of(path: Path, engine: Engine, rounds: int) -> dict[str, Any]:
    """The figures of one engine on one file, or its refusal."""
    try:
        comparison = compare(path, engine, rounds=rounds)
    except EngineError as error:
        return {"version": error.version, "error": str(error)}
    other, usual = comparison.costs
    return {
        "version": other.version,
        "snr_db": round(comparison.worst.gated_db, 1),
        "min_snr_db": comparison.min_snr_db,
        "cpu_seconds": round(other.cpu_seconds, 4),
        "onnxruntime_cpu_seconds": round(usual.cpu_seconds, 4),
        "peak_mb": other.peak_mb,
        "onnxruntime_peak_mb": usual.peak_mb,
        "bytes": path.stat().st_size,
        "converted_bytes": other.converted_bytes,
    }


def _small(folder: Path) -> Path:
    return compile(small_model(), verify=False).save(folder / f"{SMALL}.onnx")


if __name__ == "__main__":
    main()
