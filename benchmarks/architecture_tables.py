"""The tables of architectures that other people wrote."""

from __future__ import annotations

from typing import Any

from markdown_tables import load, table, versions

KINDS = {
    "network": "Networks, with seeded random weights:",
    "transform": "Transforms, which have no weights to learn:",
}


def other_models() -> str:
    """Networks, transforms, and what is refused."""
    found = load("architectures")
    entries: dict[str, dict[str, Any]] = found["entries"]
    parts = [_summary(found, entries)]
    for kind, head in KINDS.items():
        parts += [head, _measured({key: row for key, row in entries.items() if row["kind"] == kind})]
    if refused := {key: row["refused"] for key, row in entries.items() if "refused" in row}:
        lines = [f"- {key.replace('/', ', ')}: {line}" for key, line in refused.items()]
        parts += ["Refused:", "\n".join(lines)]
    parts += _again(load("architectures_other_processor"))
    return "\n\n".join(parts)


def _again(found: dict[str, Any]) -> list[str]:
    """Networks measured again, on another processor."""
    head = (
        "Measured again, with the rules for RoFormers and for sources written one by one: "
        f"{found['machine']}, {versions(found)}, {found['date']}:"
    )
    return [head, _measured(found["entries"])]


def _measured(entries: dict[str, dict[str, Any]]) -> str:
    return table(
        ["package", "architecture", "input", "thousand parameters", "nodes", "SNR, dB", "of PyTorch float32",
         "ms", "times PyTorch's speed"],
        [[f"{key.partition('/')[0]} {row['version']}", key.partition("/")[2], *_cells(row)]
         for key, row in entries.items() if "snr_db" in row],
    )  # fmt: skip


def _summary(found: dict[str, Any], entries: dict[str, dict[str, Any]]) -> str:
    networks = [row for row in entries.values() if row["kind"] == "network"]
    compiled = [row for row in networks if "snr_db" in row]
    packages = {key.partition("/")[0] for key in entries}
    return (
        f"{len(compiled)} of {len(networks)} networks and "
        f"{sum('snr_db' in row for row in entries.values()) - len(compiled)} of "
        f"{len(entries) - len(networks)} transforms, of {len(packages)} packages, compile. "
        f"{found['machine']}, one thread, {versions(found)}, {found['date']} "
        "(`benchmarks/architectures/compare.py`). SNR is that of the worst output against the module in "
        "float64, on noise and a synthetic song; times are the least of runs in turn with PyTorch eager."
    )


def _cells(row: dict[str, Any]) -> list[Any]:
    shapes = " and ".join("x".join(map(str, shape)) for shape in row["inputs"])
    speed = row["torch_seconds"] / row["seconds"]
    return [
        f"{shapes}{', ' if row['note'] else ''}{row['note']}", f"{row['parameters'] / 1e3:.0f}",
        row["nodes"], row["snr_db"], row["torch_snr_db"],
        f"{1e3 * row['seconds']:.3g}", f"{speed:.2f}",
    ]  # fmt: skip
