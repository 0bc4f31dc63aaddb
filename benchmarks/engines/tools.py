"""Quantisers and simplifiers on compiled files, for docs/deployment/engines.md.

    python benchmarks/engines/tools.py [--tools NAME ...] [--json benchmarks/results/tools.json]

compiles an HTDemucs of few parameters as it is and with ``--fold-weights``, and gives both to each tool
(rewriters.py), in an environment of its own in build/tools, which is made if it is missing. What comes out
runs in ONNX Runtime against what went in, and ``verify`` is asked about it. Figures are added to those in the
file; ``make figures`` fills the table.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))

import rewriters
from benchmark_machine import machine
from install import environment
from small_model import SAMPLE_RATE, SAMPLES, small_model

from onnx_demucs_compiler import compile  # noqa: A004
from onnx_demucs_compiler.checking.decibels import snr_db
from onnx_demucs_compiler.checking.fidelity import open_session
from onnx_demucs_compiler.checking.synthesis import synthetic_song
from onnx_demucs_compiler.cli.change import change_of
from onnx_demucs_compiler.contracts.reading import read_artifact
from onnx_demucs_compiler.errors import CompilerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parents[2] / "build" / "tools"
FILES = {"as compiled": False, "--fold-weights": True}
CHANNELS = 2


def main() -> None:
    """Give both files to each tool; write what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tools", nargs="+", choices=rewriters.REQUIREMENTS, metavar="NAME",
                        default=list(rewriters.REQUIREMENTS))  # fmt: skip
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    file: Path | None = arguments.json
    found = json.loads(file.read_text(encoding="utf-8")) if file and file.exists() else {}
    rows: dict[str, Any] = found.get("tools", {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = {what: _compiled(folder, fold_weights=folded) for what, folded in FILES.items()}
        np.savez(folder / "feeds.npz", **mixes())
        for tool in arguments.tools:
            program = environment(FOLDER / tool, rewriters.REQUIREMENTS[tool])
            rows[tool] = {"version": rewriters.version(program, tool)}
            for what, source in sources.items():
                rows[tool][what] = row_of(program, tool, source, folder)
                print(tool, what, json.dumps(rows[tool][what]), flush=True)
    if file:
        file.write_text(json.dumps(machine() | {"tools": rows}, indent=2) + "\n", encoding="utf-8")


def _compiled(folder: Path, *, fold_weights: bool) -> Path:
    compiled = compile(small_model(), fold_weights=fold_weights, verify=False)
    return compiled.save(folder / f"{'folded' if fold_weights else 'plain'}.onnx")


def mixes() -> dict[str, NDArray[np.float32]]:
    """Noise and a song, float32 ``[1, C, N]``."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((CHANNELS, SAMPLES), np.float32)
    song = synthetic_song(SAMPLES, SAMPLE_RATE, channels=CHANNELS)
    return {"noise": noise[None], "song": song[None]}


def row_of(program: Path, tool: str, source: Path, folder: Path) -> dict[str, Any]:
    """The figures of what a tool writes, or its refusal."""
    target = folder / "out.onnx"
    refusal = rewriters.rewritten(program, tool, source, target, folder / "feeds.npz")
    if refusal:
        return {"error": refusal}
    row: dict[str, Any] = {"bytes": target.stat().st_size, "source_bytes": source.stat().st_size}
    try:
        found = agreement(source, target)
        row["snr_db"] = "the same" if found == math.inf else round(found, 1)
    except CompilerError as error:
        row["error"] = str(error)
    change = change_of(target, read_artifact(target))
    return row | {"changed": change.changed, "verify": change.why}


def agreement(source: Path, target: Path) -> float:
    """The SNR of the worst stem of one file against another's."""
    one, other = (open_session(path.read_bytes()) for path in (source, target))
    [port] = [value.name for value in one.get_inputs()]
    stems = [[session.run(None, {port: mix})[0][0] for session in (one, other)] for mix in mixes().values()]
    return min(snr_db(wanted, got) for pair in stems for wanted, got in zip(*pair, strict=True))


if __name__ == "__main__":
    main()
