"""Fill the generated tables of README.md and docs from benchmarks/results/*.json.

python benchmarks/readme_table.py [--check]
"""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    """Write the tables; with ``--check`` only say whether they are what the results give."""
    stale = []
    tables = {
        "README.md": readme(),
        "docs/fidelity.md": fidelity(),
        "docs/models.md": models(),
        "docs/performance.md": performance(),
        "docs/stems.md": stems(),
    }
    for path, table in ((ROOT / name, table) for name, table in tables.items()):
        text = path.read_text(encoding="utf-8")
        filled = re.sub(
            r"(<!-- figures:start -->\n).*?(<!-- figures:end -->)",
            lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}",
            text,
            flags=re.DOTALL,
        )
        if filled != text and "--check" in sys.argv:
            stale.append(path.name)
        elif filled != text:
            path.write_text(filled, encoding="utf-8")
    if stale:
        sys.exit(f"{', '.join(stale)} is stale: run make figures")


def readme() -> str:
    """What a compile of htdemucs gives, and what it takes to run."""
    report, speed = _load("report"), _load("speed")
    separation, mutation = _load("separation"), _load("mutation")
    entrants = speed["entrants"]
    portable, ort, eager = (entrants[name] for name in ("portable", "ort", "PyTorch eager"))
    default = entrants["portable, default session"]
    gate = mutation["gate_db"]
    noticed = sum(snr < gate for snr in mutation["snr_db"].values())
    rows = [
        ("file", f"{report['bytes'] / 1e6:.1f} MB, {report['nodes']} nodes, opset {report['opset']}, "
                 f"IR {report['ir_version']}", "report"),
        *((f"SNR against float64 on {signal}, worst stem",
           f"{_worst(report, signal, 'snr_db'):.1f} dB (PyTorch float32: "
           f"{_worst(report, signal, 'torch_snr_db'):.1f} dB)", "report") for signal in ("noise", "song")),
        ("speed against PyTorch eager", f"{portable['speed_vs_torch']:.2f} times; "
                                        f"`--target ort` {ort['speed_vs_torch']:.2f} times", "speed"),
        ("peak memory over five segments",
         f"{portable['peak_rss_mb']} MB; `--target ort` {ort['peak_rss_mb']} MB; "
         f"PyTorch eager {eager['peak_rss_mb']} MB", "speed"),
        ("the same in a session with default options", f"{default['peak_rss_mb']} MB", "speed"),
        (f"`separate` against demucs' apply_model, {separation['seconds']:.0f} s song, worst stem",
         f"{min(separation['snr_db'].values()):.1f} dB", "separation"),
        ("memory of `separate` beyond the session's own", f"{separation['beyond_session_mb']} MB",
         "separation"),
        ("parameter tensors that, scaled by 1.01, fail the parity check",
         f"{noticed} of {len(mutation['snr_db'])} (`--without speed`)", "mutation"),
    ]  # fmt: skip
    lines = [f"| {what} | {figure} | `{SOURCES[name]}` |" for what, figure, name in rows]
    head = f"htdemucs, lively weights, {speed['threads']} threads, {_versions(speed)}:"
    return "\n".join([head, "", "| | | printed by |", "|---|---|---|", *lines])


def fidelity() -> str:
    """What each group of operators costs alone, worst first."""
    found = _load("fidelity_by_operator")
    rows = sorted(found.items(), key=lambda item: item[1])
    lines = [f"| {name} | {'exact' if snr == math.inf else snr} |" for name, snr in rows]
    return "\n".join(["| in float32 alone | worst stem, dB |", "|---|---:|", *lines])


def models() -> str:
    """What each model of demucs comes to."""
    lines = [
        f"| `{name}` | {row['parameters'] / 1e6:.1f} | {row['audio_seconds']} | {_snr(row, 'noise')} | "
        f"{_snr(row, 'song')} | {row['nodes']} | {row['bytes'] / 1e6:.0f} | {row['compile_seconds']} | "
        f"{row['peak_mb'] / 1000:.1f} |"
        for name, row in _load("models").items()
    ]
    head = (
        "| model | million parameters | s of audio | SNR on noise, dB | SNR on a song, dB | nodes | MB | "
        "s to compile | GB to compile |"
    )
    return "\n".join([head, "|---|---:|---:|---:|---:|---:|---:|---:|---:|", *lines])


def performance() -> str:
    """Graphs with and without the rules for speed, and PyTorch."""
    speed = _load("speed")
    head = f"htdemucs on {speed['machine']}, {speed['threads']} threads, {_versions(speed)}, {speed['date']}:"
    table = [
        "| | s per segment | vs PyTorch | first run, s | second run, s | peak memory, MB | SNR, dB |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {name} | {row['seconds']} | {row['speed_vs_torch']:.2f} | {row['first_run']} | "
            f"{row['second_run']} | {row['peak_rss_mb']} | {row['snr_db']} |"
            for name, row in speed["entrants"].items()
        ),
    ]
    return "\n".join([head, "", *table, "", *_track()])


def _track() -> list[str]:
    """A track graph against the length of the track."""
    return [
        "A track in one call (`--track`, `benchmarks/track.py`), and how far it is from `separate`:",
        "",
        "| s of audio | s to separate | peak memory, MB | stems, MB | SNR, dB |",
        "|---:|---:|---:|---:|---:|",
        *(
            f"| {row['seconds']:.0f} | {row['run_seconds']:.0f} | {row['peak_mb']:.0f} | {row['stems_mb']} | "
            f"{row['snr_db_to_separate']} |"
            for row in _load("track")
        ),
    ]


def stems() -> str:
    """What graphs of one stem save."""
    lines = [
        f"| `{name.removeprefix('untrained:')}` | {row['gflop']} | {row['nodes']} | {row['mb']} | "
        f"{row.get('seconds', '')} |"
        for name, row in _load("chosen_stems")["graphs"].items()
    ]
    head = "| model and stems | GFLOP per segment | nodes | MB | s per segment |"
    return "\n".join([head, "|---|---:|---:|---:|---:|", *lines])


def _snr(row: dict[str, Any], signal: str) -> str:
    return f"{row[f'{signal}_snr_db']} ({row[f'{signal}_torch_snr_db']})"


SOURCES = {
    "report": "make demo",
    "speed": "benchmarks/speed.py",
    "separation": "benchmarks/separation.py",
    "mutation": "benchmarks/mutation.py",
}


def _worst(report: dict[str, Any], signal: str, figure: str) -> float:
    return min(float(item[figure]) for item in report["fidelity"] if item["signal"] == signal)


def _versions(speed: dict[str, Any]) -> str:
    return f"torch {speed['torch'].partition('+')[0]}, onnxruntime {speed['onnxruntime']}"


def _load(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
