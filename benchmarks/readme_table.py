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
        "docs/deployment/clients.md": clients(),
        "docs/deployment/trust.md": trust(),
        "docs/deployment/runtime_config.md": ort_format(),
        "docs/fidelity.md": fidelity(),
        "docs/models.md": models(),
        "docs/performance.md": performance(),
        "docs/stems.md": stems(),
        "docs/deployment/precision.md": precision(),
        "docs/deployment/robustness.md": robustness(),
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
    return _table(
        ["in float32 alone", "worst stem, dB"],
        [[name, "exact" if snr == math.inf else snr] for name, snr in rows],
    )


def models() -> str:
    """What each model of demucs comes to."""
    return _table(
        ["model", "million parameters", "s of audio", "SNR on noise, dB", "SNR on a song, dB", "nodes", "MB",
         "s to compile", "GB to compile"],
        [[f"`{name}`", f"{row['parameters'] / 1e6:.1f}", row["audio_seconds"], _snr(row, "noise"),
          _snr(row, "song"), row["nodes"], f"{row['bytes'] / 1e6:.0f}", row["compile_seconds"],
          f"{row['peak_mb'] / 1000:.1f}"] for name, row in _load("models").items()],
    )  # fmt: skip


def performance() -> str:
    """Speed and memory of graphs and of PyTorch, rule by rule, and against threads, batch and length."""
    return "\n\n".join([*_entrants(), *_ablation(), *_scaling(), *_track()])


def _entrants() -> list[str]:
    """All entrants of one run, and what the machine's arithmetic would allow."""
    speed = _load("speed")
    entrants = speed["entrants"]
    fastest = min(row["seconds"] for row in entrants.values())
    return [
        f"htdemucs on {speed['machine']}, {speed['threads']} threads, {_versions(speed)}, {speed['date']}:",
        _table(
            ["", "s per segment", "least", "CPU s", "vs PyTorch", "first run, s", "second run, s",
             "peak memory, MB", "SNR, dB", "file, MB", "nodes"],
            [[name, row["seconds"], row["least_seconds"], row["cpu_seconds"], f"{row['speed_vs_torch']:.2f}",
              row["first_run"], row["second_run"], row["peak_rss_mb"], row["snr_db"], row.get("mb", ""),
              row.get("nodes", "")] for name, row in entrants.items()],
        ),
        f"Matrix products alone reached {speed['sgemm_gflops']:.0f} GFLOP/s in the same run: at that rate "
        f"the arithmetic of the graph takes {speed['floor_seconds']:.2f} s, and the fastest entrant takes "
        f"{fastest / speed['floor_seconds']:.2f} times as long.",
        _chart(
            "Peak memory over five segments", list(entrants),
            [row["peak_rss_mb"] for row in entrants.values()], "bar", "MB",
        ),
    ]  # fmt: skip


def _ablation() -> list[str]:
    """What each rule for speed is worth, where the others are applied."""
    found = _load("ablation")
    entrants = {name: row for name, row in found["entrants"].items() if name != "PyTorch eager"}
    whole = entrants["all rules"]["seconds"]
    return [
        f"Without one rule at a time (target {found['target']}, {found['date']}, `benchmarks/ablation.py`):",
        _table(
            ["", "s per segment", "against all rules", "peak memory, MB", "SNR, dB", "nodes"],
            [[name, row["seconds"], f"{row['seconds'] / whole:.3f}", row["peak_rss_mb"], row["snr_db"],
              row["nodes"]] for name, row in entrants.items()],
        ),
    ]  # fmt: skip


def _scaling() -> list[str]:
    """Threads and batches."""
    return [
        "Threads and batches, portable with an open batch (`benchmarks/scaling.py`):",
        _table(
            ["threads", "batch", "s per segment", "PyTorch", "peak memory, MB", "PyTorch"],
            [[row[key] for key in ("threads", "batch", "seconds_per_segment", "torch_seconds_per_segment",
                                   "peak_rss_mb", "torch_peak_rss_mb")] for row in _load("scaling")["rows"]],
        ),
    ]  # fmt: skip


def _track() -> list[str]:
    """A track graph against the length of the track."""
    rows = _load("track")
    lengths = [f"{row['seconds']:.0f} s" for row in rows]
    return [
        "A track in one call (`--track`, `benchmarks/track.py`), and how far it is from `separate`:",
        _table(
            ["s of audio", "s to separate", "peak memory, MB", "of which stems, MB", "SNR, dB"],
            [[f"{row['seconds']:.0f}", f"{row['run_seconds']:.0f}", f"{row['peak_mb']:.0f}", row["stems_mb"],
              row.get("snr_db_to_separate", "")] for row in rows],
        ),
        _chart("Time against length", lengths, [row["run_seconds"] for row in rows], "line", "s"),
        _chart("Peak memory against length", lengths, [row["peak_mb"] for row in rows], "line", "MB"),
    ]  # fmt: skip


def _table(head: list[str], rows: list[list[Any]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    lines = [head, *([str(cell) for cell in row] for row in rows)]
    first, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([first, rule, *rest])


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
    """What graphs of one stem save."""
    return _table(
        ["model and stems", "GFLOP per segment", "nodes", "MB", "s per segment"],
        [[f"`{name.removeprefix('untrained:')}`", row["gflop"], row["nodes"], row["mb"],
          row.get("seconds", "")] for name, row in _load("chosen_stems")["graphs"].items()],
    )  # fmt: skip


def precision() -> str:
    """What each precision costs and saves, and each way to quantise."""
    return "\n\n".join([*_precisions(), *_kinds()])


def _precisions() -> list[str]:
    if not (RESULTS / "precision.json").exists():
        return ["Sizes, SNR and seconds of each precision are printed by `python benchmarks/precision.py`."]
    found = _load("precision")
    graphs, bag = found["graphs"], found["bag"]
    same = graphs["released, fp16-weights"]["same_bits_as_fp32"]
    return [
        f"`{found['model']}`, target {found['target']}, {found['machine']}, {found['threads']} threads, "
        f"{_versions(found)}, {found['date']} (`benchmarks/precision.py`):",
        _table(
            ["", "MB", "lossless", "rounded", "int8", "float32", "worst stem on noise, dB", "on a song",
             *RUN],
            [[name, f"{row['bytes'] / 1e6:.2f}",
              *(f"{row['stored'].get(how, 0) / 1e6:.2f}" for how in STORED),
              *(min(row["snr_db"][signal].values()) for signal in ("noise", "song")),
              *_run(row)] for name, row in graphs.items()],
        ),
        f"The output of *released, fp16-weights* {'equals' if same else 'does **not** equal'} that of "
        f"*released, fp32* to the last bit. `{bag['model']}` from weights in half precision is "
        f"{bag['bytes'] / 1e6:.1f} MB.",
    ]  # fmt: skip


def _kinds() -> list[str]:
    found = _load("int8_kinds")
    return [
        f"Ways to store all large weights of `{found['model']}` in eight bits, or to compute with them, "
        f"target {found['target']}, {found['threads']} threads, {found['date']} "
        "(`benchmarks/int8_kinds.py`):",
        _table(
            ["", "MB", "worst stem against float32, dB", *RUN],
            [[name, f"{row['bytes'] / 1e6:.1f}", row.get("snr_db", ""), *_run(row)]
             for name, row in found["kinds"].items()],
        ),
    ]  # fmt: skip


STORED = ("float16, lossless", "float16, rounded", "int8", "float32")
RUN = ("s per segment", "CPU s", "s to load", "peak memory, MB")


def _run(row: dict[str, Any]) -> list[Any]:
    return [row["seconds"], row["cpu_seconds"], row["load_seconds"], row["peak_rss_mb"]]


def clients() -> str:
    """What the clients of examples/ take, and how far they are from ``separate``."""
    found = _load("clients")
    agreement = {
        name: "the same to the bit" if snr is None else f"{snr} dB"
        for name, snr in found["agreement_db"].items()
    }
    rows = [
        [name, agreement.get(name, ""), row["seconds"], row["least_seconds"], row["peak_rss_mb"]]
        for name, row in found["clients"].items()
    ]
    left_out = [f"{name}: left out, {reason}." for name, reason in found["left_out"].items()]
    return "\n\n".join(
        [
            f"{found['model']} and a song of {found['seconds_of_audio']:.0f} s, {found['machine']}, "
            f"{found['threads']} threads, onnxruntime {found['onnxruntime']} (node: "
            f"{found['node_onnxruntime']}), medians of {found['runs']} runs in turn, "
            f"{found['date']}, `benchmarks/clients.py`:",
            _table(["", "worst stem against `separate`", "s", "least s", "peak memory, MB"], rows),
            *left_out,
        ]
    )


def trust() -> str:
    """Whether two environments write the same."""
    found = _load("reproducible")
    same = "the same" if found["same_packages"] else "not the same"
    head = (
        f"{found['checkpoint']}, {_versions(found)}, {found['date']}; "
        f"{found['packages']} packages in each environment, {same} versions:"
    )
    rows = [[what, file["bytes"], "yes" if file["same"] else "no"] for what, file in found["files"].items()]
    return f"{head}\n\n{_table(['what is written', 'bytes', 'the same in both'], rows)}"


LEFT = ("none", "complete", "partial")


def robustness() -> str:
    """Inputs tried and what came of them; moments of interruption and what they left."""
    fuzz, interruptions = _load("fuzz"), _load("interruptions")
    return "\n\n".join(
        [
            f"{fuzz['seconds']:.0f} s of it (seed {fuzz['seed']}, {fuzz['date']}):",
            _table(
                ["", "inputs", "exit code 0", "1", "2", "failures"],
                [[kind, row["inputs"], *(row["exit_codes"].get(code, 0) for code in "012"),
                  sum(row["problems"].values())] for kind, row in fuzz["kinds"].items()],
            ),
            f"Compiles interrupted ({interruptions['date']}, `benchmarks/interruptions.py`):",
            _table(
                ["", "moments", "nothing left", "complete file", "part of a file", "other files left",
                 "not as promised", "before the program's first line"],
                [[kind, row["moments"], *(row["output"].get(left, 0) for left in LEFT), row["files_left"],
                  row["not_as_promised"], row["before_the_program"]]
                 for kind, row in interruptions["signals"].items()],
            ),
        ]
    )  # fmt: skip


def ort_format() -> str:
    """What ONNX Runtime's optimisation levels make of a model in ORT format."""
    found = _load("ort_format")
    rows = [
        [f"{model}, {'`.onnx`' if level == 'onnx' else level}", f"{row['bytes'] / 1e6:.1f}", row["nodes"],
         row.get("operators", ""), row.get("of_com_microsoft", ""), row["load_seconds"], row["load_mb"],
         row["cpu_seconds"], row["peak_mb"], row.get("snr_db_to_onnx", "")]
        for model, levels in found["models"].items() for level, row in levels.items()
    ]  # fmt: skip
    return "\n\n".join(
        [
            f"htdemucs on {found['machine']}, {found['threads']} threads, {_versions(found)}, "
            f"{found['date']} (`benchmarks/ort_format.py`):",
            _table(
                ["target and level", "MB", "nodes", "operators in the config", "of `com.microsoft`",
                 "s to load", "MB to load", "CPU s per segment", "peak memory, MB",
                 "SNR to `.onnx`, dB"],
                rows,
            ),
        ]
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


def _versions(speed: dict[str, Any]) -> str:
    return f"torch {speed['torch'].partition('+')[0]}, onnxruntime {speed['onnxruntime']}"


def _load(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
