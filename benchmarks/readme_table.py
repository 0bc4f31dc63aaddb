"""Fill the generated tables of README.md and docs from benchmarks/results/*.json.

python benchmarks/readme_table.py [--check]
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any

import deployment_tables as deployment
from architecture_tables import other_models
from markdown_tables import ROOT, load, table, versions


def main() -> None:
    """Write the tables; with ``--check`` only compare them with the results."""
    stale = []
    tables = {
        "README.md": readme(),
        "docs/browser.md": deployment.browser(),
        "docs/deployment/catalogue.md": deployment.catalogue(),
        "docs/deployment/clients.md": deployment.clients(),
        "docs/deployment/engines.md": deployment.engines(),
        "docs/deployment/formats.md": deployment.formats(),
        "docs/deployment/openvino.md": deployment.openvino(),
        "docs/deployment/plugins.md": deployment.plugins(),
        "docs/deployment/trust.md": deployment.trust(),
        "docs/deployment/runtime_config.md": deployment.ort_format(),
        "docs/deployment/minimal_runtime.md": deployment.minimal_runtime(),
        "docs/fidelity.md": fidelity(),
        "docs/models.md": models(),
        "docs/other-models.md": other_models(),
        "docs/performance.md": performance(),
        "docs/separate.md": deployment.separate(),
        "docs/stems.md": stems(),
        "docs/deployment/precision.md": deployment.precision(),
        "docs/deployment/robustness.md": deployment.robustness(),
    }
    for path, figures in ((ROOT / name, figures) for name, figures in tables.items()):
        text = path.read_text(encoding="utf-8")
        filled = re.sub(
            r"(<!-- figures:start -->\n).*?(<!-- figures:end -->)",
            lambda match, figures=figures: f"{match[1]}\n{figures}\n\n{match[2]}",
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
    """A compile of htdemucs, and the cost of running it."""
    report, speed = load("report"), load("speed")
    separation, mutation = load("separation"), load("mutation")
    entrants, slower = speed["entrants"], load("speed_other_processor")["entrants"]
    portable, ort, eager = (entrants[name] for name in ("portable", "ort", "PyTorch eager"))
    default = {name: entrants[f"{name}, default session"]["peak_rss_mb"] for name in ("portable", "ort")}
    gate = mutation["gate_db"]
    noticed = sum(snr < gate for snr in mutation["snr_db"].values())
    rows = [
        ("file", f"{report['bytes'] / 1e6:.1f} MB, {report['nodes']} nodes, opset {report['opset']}, "
                 f"IR {report['ir_version']}", "report"),
        *((f"SNR against float64 on {signal}, worst stem",
           f"{_worst(report, signal, 'snr_db'):.1f} dB (PyTorch float32: "
           f"{_worst(report, signal, 'torch_snr_db'):.1f} dB)", "report") for signal in ("noise", "song")),
        ("compile, verification included", f"{sum(report['seconds'].values()):.0f} s", "report"),
        ("speed against PyTorch eager", f"{portable['speed_vs_torch']:.2f} times; "
                                        f"`--target ort` {ort['speed_vs_torch']:.2f} times "
                                        "(on another processor "
                                        f"{slower['portable']['speed_vs_torch']:.2f} and "
                                        f"{slower['ort']['speed_vs_torch']:.2f})", "speed"),
        ("peak memory over five segments",
         f"{portable['peak_rss_mb']} MB; `--target ort` {ort['peak_rss_mb']} MB; "
         f"PyTorch eager {eager['peak_rss_mb']} MB", "speed"),
        ("the same in a session with default options",
         f"{default['portable']} MB; `--target ort` {default['ort']} MB", "speed"),
        (f"`separate` against demucs' apply_model, {separation['seconds']:.0f} s song, worst stem",
         f"{min(separation['snr_db'].values()):.1f} dB", "separation"),
        ("memory of `separate` beyond the session's own", f"{separation['beyond_session_mb']} MB",
         "separation"),
        ("parameter tensors that, scaled by 1.01, fail the parity check",
         f"{noticed} of {len(mutation['snr_db'])}", "mutation"),
    ]  # fmt: skip
    lines = [f"| {what} | {figure} | `{SOURCES[name]}` |" for what, figure, name in rows]
    head = f"htdemucs, lively weights, {speed['threads']} threads, {versions(speed)}:"
    return "\n".join([head, "", "| | | printed by |", "|---|---|---|", *lines])


def fidelity() -> str:
    """The cost of each group of operators alone, worst first."""
    found = load("fidelity_by_operator")
    rows = sorted(found.items(), key=lambda item: item[1])
    return table(
        ["in float32 alone", "worst stem, dB"],
        [[name, "exact" if snr == math.inf else snr] for name, snr in rows],
    )


def models() -> str:
    """The figures of each model of demucs."""
    return table(
        ["model", "target", "million parameters", "s of audio", "SNR on noise, dB", "SNR on a song, dB",
         "nodes", "MB", "s to compile", "GB to compile"],
        [[f"`{name}`", target, f"{row['parameters'] / 1e6:.1f}", row["audio_seconds"], _snr(row, "noise"),
          _snr(row, "song"), row["nodes"], f"{row['bytes'] / 1e6:.0f}", row["compile_seconds"],
          f"{row['peak_mb'] / 1000:.1f}"]
         for name, targets in load("models").items() for target, row in targets.items()],
    )  # fmt: skip


def performance() -> str:
    """Speed and memory of graphs and PyTorch, by rule, threads and size."""
    return "\n\n".join([*_entrants(), *_other_processor(), *_ablation(), *_scaling(), *_track()])


def _entrants() -> list[str]:
    """All entrants of one run, and what the machine's arithmetic would allow."""
    speed = load("speed")
    entrants = speed["entrants"]
    fastest = min(row["seconds"] for row in entrants.values())
    rates = " and ".join(f"{rate:.0f} GFLOP/s in {whose}" for whose, rate in speed["sgemm_gflops"].items())
    return [
        f"htdemucs on {speed['machine']}, {speed['threads']} threads, {versions(speed)}, {speed['date']}:",
        table(
            ["", "s per segment", "least", "CPU s", "vs PyTorch", "first run, s", "second run, s",
             "peak memory, MB", "SNR, dB", "file, MB", "nodes"],
            [[name, row["seconds"], row["least_seconds"], row["cpu_seconds"], f"{row['speed_vs_torch']:.2f}",
              row["first_run"], row["second_run"], row["peak_rss_mb"], row["snr_db"], row.get("mb", ""),
              row.get("nodes", "")] for name, row in entrants.items()],
        ),
        f"Matrix products alone reached {rates} in the same run: at the higher rate the arithmetic of the "
        f"graph takes {speed['floor_seconds']:.2f} s, and the fastest entrant takes "
        f"{fastest / speed['floor_seconds']:.2f} times as long.",
        _chart(
            "Peak memory over five segments", list(entrants),
            [row["peak_rss_mb"] for row in entrants.values()], "bar", "MB",
        ),
    ]  # fmt: skip


def _other_processor() -> list[str]:
    """The same entrants on another machine, beside their ratios here."""
    speed, other = load("speed")["entrants"], load("speed_other_processor")
    return [
        f"The same graphs on another processor ({other['machine']}, {other['date']}):",
        table(
            ["", "s per segment", "vs PyTorch", "vs PyTorch above"],
            [[name, row["seconds"], f"{row['speed_vs_torch']:.2f}", f"{speed[name]['speed_vs_torch']:.2f}"]
             for name, row in other["entrants"].items() if name in speed],
        ),
    ]  # fmt: skip


def _ablation() -> list[str]:
    """The worth of each rule for speed beside the others."""
    found = load("ablation")
    entrants = {name: row for name, row in found["entrants"].items() if name != "PyTorch eager"}
    whole = entrants["all rules"]["seconds"]
    return [
        f"Without one rule at a time (target {found['target']}, {found['date']}, `benchmarks/ablation.py`):",
        table(
            ["", "s per segment", "against all rules", "peak memory, MB", "of a default session, MB",
             "SNR, dB", "nodes"],
            [[name, row["seconds"], f"{row['seconds'] / whole:.3f}", row["peak_rss_mb"],
              row.get("default_peak_rss_mb", ""), row["snr_db"], row["nodes"]]
             for name, row in entrants.items()],
        ),
    ]  # fmt: skip


def _scaling() -> list[str]:
    """Threads and batches."""
    return [
        "Threads and batches, portable with an open batch (`benchmarks/scaling.py`):",
        table(
            ["threads", "batch", "s per segment", "PyTorch", "peak memory, MB", "PyTorch"],
            [[row[key] for key in ("threads", "batch", "seconds_per_segment", "torch_seconds_per_segment",
                                   "peak_rss_mb", "torch_peak_rss_mb")] for row in load("scaling")["rows"]],
        ),
    ]  # fmt: skip


def _track() -> list[str]:
    """A track graph against the length of the track."""
    rows = load("track")
    lengths = [f"{row['seconds']:.0f} s" for row in rows]
    return [
        "A track in one call (`--track`, `benchmarks/track.py`), and how far it is from `separate`:",
        table(
            ["s of audio", "s to separate", "peak memory, MB", "of which stems, MB", "SNR, dB"],
            [[f"{row['seconds']:.0f}", f"{row['run_seconds']:.0f}", f"{row['peak_mb']:.0f}", row["stems_mb"],
              row.get("snr_db_to_separate", "")] for row in rows],
        ),
        _chart("Time against length", lengths, [row["run_seconds"] for row in rows], "line", "s"),
        _chart("Peak memory against length", lengths, [row["peak_mb"] for row in rows], "line", "MB"),
    ]  # fmt: skip


def _chart(title: str, names: list[str], values: list[float], kind: str, unit: str) -> str:
    """A Mermaid chart, which GitHub draws."""
    quoted = ", ".join(f'"{name}"' for name in names)
    return "\n".join(
        [
            "```mermaid",
            "xychart-beta",
            f'    title "{title}"',
            f"    x-axis [{quoted}]",
            f'    y-axis "{unit}" 0 --> {math.ceil(1.05 * max(values))}',
            f"    {kind} [{', '.join(map(str, values))}]",
            "```",
        ]
    )


def stems() -> str:
    """The saving of graphs of one stem."""
    return table(
        ["model and stems", "GFLOP per segment", "nodes", "MB", "s per segment"],
        [[f"`{name.removeprefix('untrained:')}`", row["gflop"], row["nodes"], row["mb"],
          row.get("seconds", "")] for name, row in load("chosen_stems")["graphs"].items()],
    )  # fmt: skip


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


if __name__ == "__main__":
    main()
