"""Seconds per segment by threads and batch, PyTorch and graph in turn.

    python benchmarks/scaling.py MODEL.onnx [--threads 1 2] [--batch 1 2 4] [--rounds 3] [--json FILE]

``MODEL.onnx`` is a graph of open batch (``onnx-demucs compile MODEL --batch dynamic``). Threads are counted
at the smallest batch, batches at the most threads.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmark_machine import machine
from entrants import Entrant, in_turn
from speed import SEGMENTS, WARM_UP, median

from onnx_demucs_compiler.checking.verification import artifact_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> None:
    """Print a line for each number of threads and each batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("graph", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    settings = [(threads, min(arguments.batch)) for threads in arguments.threads]
    settings += [(max(arguments.threads), batch) for batch in arguments.batch if batch > min(arguments.batch)]
    rows = _measured(arguments.graph.resolve(), settings, arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(machine() | {"rows": rows}, indent=2) + "\n")


def _measured(graph: Path, settings: Sequence[tuple[int, int]], rounds: int) -> list[dict[str, float]]:
    metadata = artifact_metadata(graph)
    shape = metadata.audio_channels, metadata.segment
    entrants = {}
    with tempfile.TemporaryDirectory() as folder:
        for threads, batch in settings:
            mix = Path(folder) / f"{batch}.npy"
            np.save(mix, np.random.default_rng(0).standard_normal((batch, *shape), np.float32))
            stems = Path(folder) / "stems.npy"
            for kind, source in (("eager", metadata.model), ("session", str(graph))):
                entrants[f"{kind} {threads} {batch}"] = Entrant(kind, source, mix, stems, threads)
        runs = in_turn(entrants, max(rounds + WARM_UP, SEGMENTS))
    rows = []
    for threads, batch in settings:
        eager, found = runs[f"eager {threads} {batch}"], runs[f"session {threads} {batch}"]
        row = {
            "threads": threads,
            "batch": batch,
            "seconds_per_segment": round(median(found) / batch, 3),
            "torch_seconds_per_segment": round(median(eager) / batch, 3),
            "peak_rss_mb": found[SEGMENTS - 1].peak_mb,
            "torch_peak_rss_mb": eager[SEGMENTS - 1].peak_mb,
        }
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
